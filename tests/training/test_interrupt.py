from __future__ import annotations

import signal
import threading

import pytest

from elman.training.interrupt import Interrupt


def test_the_first_is_a_wish_and_the_second_breaks_off() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.requested
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_patient_one_waits_for_the_loop() -> None:
    with Interrupt(patient=True) as interrupt:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert interrupt.requested


def test_other_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with Interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
