"""Sounds as sequences: WAV files, and their energy in mel bands over time."""

from __future__ import annotations

import functools
import math
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Samples = NDArray[np.float64]

FLOOR = 1e-8  # added to the power, so that silence has a logarithm


@dataclass(frozen=True)
class SoundReading:
    """How a recording becomes a sequence: ``log_mel`` of its samples brought to one rate.

    >>> SoundReading(rate=8000, mels=20)(np.zeros(4000), 16000).shape
    (23, 20)
    """

    rate: int = 16000
    mels: int = 40
    window_ms: float = 25.0
    hop_ms: float = 10.0

    def __call__(self, samples: Samples, rate: int) -> NDArray[np.float32]:
        """Samples (N,) of so many a second to (T, mels)."""
        return log_mel(resampled(samples, rate, self.rate), self.rate, self.mels, self.window_ms, self.hop_ms)


def log_mel(
    samples: Samples, rate: int, mels: int = 40, window_ms: float = 25.0, hop_ms: float = 10.0
) -> NDArray[np.float32]:
    """The natural logarithm of the power in each mel band, frame by frame, (T, mels).

    A frame is ``window_ms`` milliseconds under a periodic Hann window, padded with zeros to a power of two for the
    Fourier transform; the next one starts ``hop_ms`` later; T = 1 + (N - window) // hop, in samples, at least 1.
    The power |X_k|^2 is summed over the triangles of ``mel_filters``, and 1e-8 is added before the logarithm.

    Args:
        samples: (N,) of so many a second; zeros follow where they are less than one frame.
        rate: samples a second.
        mels: bands.
        window_ms, hop_ms: length of a frame and time from one to the next, in milliseconds.

    Raises ``UserError`` for samples of other axes, and for what ``mel_filters`` refuses.

    >>> time = np.arange(800) / 8000
    >>> log_mel(np.sin(2 * np.pi * 1000 * time), 8000, mels=20).argmax(1).tolist()
    [9, 9, 9, 9, 9, 9, 9, 9]
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 1:
        raise UserError(f"samples are {samples.shape}; expected one channel, (N,)")
    length, step = max(1, round(rate * window_ms / 1000)), max(1, round(rate * hop_ms / 1000))
    size = 1 << (length - 1).bit_length()
    samples = np.pad(samples, (0, max(0, length - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::step]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    power = np.abs(np.fft.rfft(frames * hann, size)) ** 2
    return np.log(power @ mel_filters(rate, size, mels).T + FLOOR).astype(np.float32)


@functools.cache
def mel_filters(rate: int, size: int, mels: int) -> Samples:
    """Triangles over the frequencies of a Fourier transform of ``size`` samples, (mels, size // 2 + 1).

    Their corners are even in mel from 0 to rate / 2 by the formula of O'Shaughnessy and HTK, mel = 2595 log10(1 + f /
    700); each rises in Hz from one corner to 1 at the next and falls to 0 at the one after.

    Raises ``UserError`` where a triangle is so narrow that no frequency lies in it.
    """
    corners = 700 * (10 ** (np.linspace(0, 2595 * math.log10(1 + rate / 2 / 700), mels + 2) / 2595) - 1)
    frequencies = np.arange(size // 2 + 1) * rate / size
    left, centre, right = (corners[k : k + mels, None] for k in range(3))
    rise, fall = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    filters = np.maximum(0.0, np.minimum(rise, fall))
    empty = np.flatnonzero(filters.sum(1) == 0)
    if len(empty):
        raise UserError(
            f"mels={mels} is too many: band {empty[0] + 1} holds none of the {size // 2 + 1} frequencies of a window "
            f"of {size} samples; take fewer bands or a longer window"
        )
    return filters


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """Samples (N,) at another rate, by cutting or lengthening the spectrum of the whole; frequencies lost are gone.

    >>> time = np.arange(80) / 8000
    >>> half = resampled(np.sin(2 * np.pi * 500 * time), 8000, 4000)
    >>> np.allclose(half, np.sin(2 * np.pi * 500 * time[::2]))
    True
    """
    if rate == wanted or not len(samples):
        return samples
    count = max(1, round(len(samples) * wanted / rate))
    return np.fft.irfft(np.fft.rfft(samples), count) * (count / len(samples))


def read_wav(path: str | Path) -> tuple[Samples, int]:
    """The samples of a WAV file, (N,) from -1 to 1, the mean of its channels, and their rate.

    `UserError`: no such file, no whole WAV file, or one that is not 8-, 16-, 24- or 32-bit PCM.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            data = file.readframes(count)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the name") from error
    except (wave.Error, EOFError) as error:
        raise UserError(
            f"{path} is no WAV file of PCM samples ({str(error) or 'it ends early'}); convert it"
        ) from error
    if not count:
        raise UserError(f"{path} holds no sound; leave it out")
    if len(data) != count * channels * width:
        raise UserError(
            f"{path} holds {len(data)} bytes of {count * channels * width} that it announces; fetch it again"
        )
    return _decoded(data, width).reshape(-1, channels).mean(1), rate


def _decoded(data: bytes, width: int) -> Any:
    """PCM of so many bytes a sample as numbers from -1 to 1; only that of 8 bits has no sign."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        # The three bytes become the upper ones of four.
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = padded.tobytes(), 4
    return np.frombuffer(data, f"<i{width}").astype(np.float64) / 2 ** (8 * width - 1)
