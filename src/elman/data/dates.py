"""Dates after the last one, in the manner of those there are."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m", "%Y%m%d", "%b %d %Y")


def dates_after(dates: Sequence[str] | None, count: int) -> list[str]:
    """The ``count`` labels that follow ``dates``: regular dates and whole numbers go on, others become +1, +2, ...

    Of gaps between dates the commonest counts, so that a missing weekend does no harm. Dates that are the last of
    their months stay so; others keep their day, or the month's last where it is shorter.

    >>> dates_after(["2020-11-01", "2020-12-01"], 2), dates_after(["1999", "2000"], 1), dates_after(None, 2)
    (['2021-01-01', '2021-02-01'], ['2001'], ['+1', '+2'])
    >>> dates_after(["2020-11-30", "2020-12-31"], 2)
    ['2021-01-31', '2021-02-28']
    """
    recent = list(dates or [])[-100:]
    if len(recent) > 1:
        if all(_is_whole(each) and len(each) < 8 for each in recent):
            step = _commonest([int(b) - int(a) for a, b in pairwise(recent)])
            return [str(int(recent[-1]) + k * step) for k in range(1, count + 1)]
        for form in FORMATS:
            try:
                times = [datetime.strptime(each, form) for each in recent]
            except ValueError:
                continue
            return [_written(each, form, recent[-1]) for each in _times_after(times, count)]
    return [f"+{k}" for k in range(1, count + 1)]


def _times_after(times: list[datetime], count: int) -> list[datetime]:
    last = times[-1]
    months = _commonest([12 * (b.year - a.year) + b.month - a.month for a, b in pairwise(times)])
    day = 31 if all(each == _on_day(each, 31) for each in times) else max(each.day for each in times)
    if months and len({each.time() for each in times}) == 1 and all(each == _on_day(each, day) for each in times):
        later = [divmod(12 * last.year + last.month - 1 + k * months, 12) for k in range(1, count + 1)]
        return [_on_day(last.replace(year=year, month=month + 1, day=1), day) for year, month in later]
    step = _commonest([b - a for a, b in pairwise(times)])
    return [last + k * step for k in range(1, count + 1)]


def _on_day(time: datetime, day: int) -> datetime:
    """That day of the same month, or the month's last where it is shorter."""
    return time.replace(day=min(day, monthrange(time.year, time.month)[1]))


def _written(time: datetime, form: str, like: str) -> str:
    text = time.strftime(form)
    # "Jan 1 2000": the day without its zero, as it came.
    return text.replace(" 0", " ") if form.startswith("%b") and " 0" not in like else text


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _commonest(steps: list[T]) -> T:
    return max(steps, key=steps.count)
