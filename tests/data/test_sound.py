from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.data.sound import SoundReading, log_mel, mel_filters, read_wav, resampled


def write_wav(path: Path, samples: np.ndarray, rate: int = 8000, width: int = 2) -> None:
    """Samples (N,) or (N, channels) from -1 to 1 as PCM."""
    top = 2 ** (8 * width - 1)
    numbers = np.clip(np.round(samples * top), -top, top - 1).astype(np.int64)
    if width == 1:
        data = (numbers + 128).astype(np.uint8).tobytes()
    else:
        data = b"".join(int(number).to_bytes(width, "little", signed=True) for number in numbers.ravel())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)


def plain_log_mel(samples: np.ndarray, rate: int, mels: int, length: int, step: int, size: int) -> np.ndarray:
    """The definition, sum by sum."""
    mel = [k * 2595 * math.log10(1 + rate / 1400) / (mels + 1) for k in range(mels + 2)]
    corner = [700 * (10 ** (m / 2595) - 1) for m in mel]
    rows = []
    for start in range(0, len(samples) - length + 1, step):
        power = []
        for k in range(size // 2 + 1):
            total = sum(
                samples[start + n]
                * (0.5 - 0.5 * math.cos(2 * math.pi * n / length))
                * np.exp(-2j * np.pi * k * n / size)
                for n in range(length)
            )
            power.append(abs(total) ** 2)
        bands = []
        for band in range(mels):
            low, middle, high = corner[band : band + 3]
            energy = 0.0
            for k, p in enumerate(power):
                f = k * rate / size
                if low < f <= middle:
                    energy += p * (f - low) / (middle - low)
                elif middle < f < high:
                    energy += p * (high - f) / (high - middle)
            bands.append(math.log(energy + 1e-8))
        rows.append(bands)
    return np.array(rows)


def test_log_mel_is_the_definition() -> None:
    samples = np.random.default_rng(0).normal(size=130) * 0.1
    ours = log_mel(samples, 1000, mels=5, window_ms=50, hop_ms=20)
    np.testing.assert_allclose(ours, plain_log_mel(samples, 1000, 5, 50, 20, 64), rtol=1e-5)


@pytest.mark.parametrize("tone", [300.0, 1000.0, 2500.0])
def test_a_tone_is_loudest_in_the_band_around_it(tone: float) -> None:
    samples = 0.5 * np.sin(2 * np.pi * tone * np.arange(4000) / 8000)
    features = log_mel(samples, 8000, mels=24)
    top = 2595 * math.log10(1 + 4000 / 700)
    centres = 700 * (10 ** (np.arange(1, 25) * top / 25 / 2595) - 1)
    loudest = features.argmax(1)
    assert len(set(loudest.tolist())) == 1
    spacing = np.diff(centres, prepend=0)[loudest[0]]
    assert abs(centres[loudest[0]] - tone) <= spacing
    # Twice as loud is four times the power.
    np.testing.assert_allclose((log_mel(2 * samples, 8000, mels=24) - features)[:, loudest[0]], math.log(4), rtol=1e-4)


def test_frames_are_counted() -> None:
    assert log_mel(np.zeros(200), 8000).shape == (1, 40)
    assert log_mel(np.zeros(279), 8000).shape == (1, 40)
    assert log_mel(np.zeros(280), 8000).shape == (2, 40)
    assert log_mel(np.zeros(3), 8000).shape == (1, 40), "a short sound is filled up"
    np.testing.assert_allclose(log_mel(np.zeros(400), 8000), math.log(1e-8), rtol=1e-6)


def test_filters_share_the_middle_out() -> None:
    filters = mel_filters(16000, 512, 40)
    assert filters.shape == (40, 257) and filters.min() == 0 and filters.max() <= 1
    inside = slice(int(filters[0].argmax()) + 1, int(filters[-1].argmax()))
    np.testing.assert_allclose(filters.sum(0)[inside], 1, rtol=1e-12)
    with pytest.raises(UserError, match="mels=200 is too many: band 1 holds none of the 129 frequencies"):
        mel_filters(8000, 256, 200)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_files_of_every_width(width: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (50, 2))
    write_wav(tmp_path / "a.wav", samples, 8000, width)
    read, rate = read_wav(tmp_path / "a.wav")
    assert rate == 8000
    np.testing.assert_allclose(read, samples.mean(1), atol=0.51 / 2 ** (8 * width - 1))


@given(st.integers(1, 3), st.sampled_from([(8000, 16000), (16000, 8000), (8000, 11025)]))
def test_a_slow_wave_is_the_same_at_another_rate(waves: int, rates: tuple[int, int]) -> None:
    rate, wanted = rates
    count = rate // 10
    samples = np.sin(2 * np.pi * waves * np.arange(count) / count)
    new = resampled(samples, rate, wanted)
    assert len(new) == round(count * wanted / rate)
    np.testing.assert_allclose(new, np.sin(2 * np.pi * waves * np.arange(len(new)) / len(new)), atol=1e-9)


def test_recordings_of_two_rates_give_like_features() -> None:
    slow, fast = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) for rate in (8000, 16000))
    reading = SoundReading(rate=8000, mels=20)
    one, other = reading(slow, 8000), reading(fast, 16000)
    assert one.shape == other.shape
    np.testing.assert_allclose(one.max(1), other.max(1), atol=1e-3)


def test_broken_recordings(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(100))
    whole = (tmp_path / "a.wav").read_bytes()
    write_wav(tmp_path / "a.wav", np.zeros(0))
    empty = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(UserError, match="No such file"):
        read_wav(tmp_path / "gone.wav")
    for data, sentence in (
        (b"xx", r"is no WAV file of PCM samples \(it ends early\)"),
        (whole[:-20], r"holds 180 bytes of 200 that it announces"),
        (empty, r"holds no sound; leave it out"),
        (whole[:20] + b"\x03\0" + whole[22:], "unknown format: 3"),
    ):
        (tmp_path / "b.wav").write_bytes(data)
        with pytest.raises(UserError, match=sentence):
            read_wav(tmp_path / "b.wav")
    with pytest.raises(UserError, match=r"samples are \(2, 3\); expected one channel"):
        log_mel(np.zeros((2, 3)), 8000)
