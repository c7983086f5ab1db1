"""Dates after the last one, in the manner of those there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m", "%Y%m%d", "%b %d %Y")


def dates_after(dates: Sequence[str] | None, count: int) -> list[str]:
    """The ``count`` labels that follow ``dates``: regular dates and whole numbers go on, others become +1, +2, ...

    Of gaps between dates the commonest counts, so that a missing weekend does no harm.

    >>> dates_after(["2020-11-01", "2020-12-01"], 2), dates_after(["1999", "2000"], 1), dates_after(None, 2)
    (['2021-01-01', '2021-02-01'], ['2001'], ['+1', '+2'])
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
    months = [12 * (b.year - a.year) + b.month - a.month for a, b in pairwise(times)]
    last = times[-1]
    if len({(each.day, each.time()) for each in times}) == 1 and _commonest(months):
        later = [12 * last.year + last.month - 1 + k * _commonest(months) for k in range(1, count + 1)]
        return [_month(last, *divmod(each, 12)) for each in later]
    step = _commonest([b - a for a, b in pairwise(times)])
    return [last + k * step for k in range(1, count + 1)]


def _month(like: datetime, year: int, month: int) -> datetime:
    """The month of that year, at the day of ``like`` or the month's last where it is shorter."""
    for day in range(like.day, 0, -1):
        try:
            return like.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return like


def _written(time: datetime, form: str, like: str) -> str:
    text = time.strftime(form)
    # "Jan 1 2000": the day without its zero, as it came.
    return text.replace(" 0", " ") if form.startswith("%b") and " 0" not in like else text


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _commonest(steps: list[T]) -> T:
    return max(steps, key=steps.count)
