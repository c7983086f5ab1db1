"""Dates of a series: what they say, which are absent, and those that follow, in the manner of those there are."""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")
FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m", "%Y%m%d", "%b %d %Y", "%b-%d-%Y",
    "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y",
)  # fmt: skip
DAY = 86_400
MOST_GAPS = 0.1  # of all steps; shops that close one day a week have a sixth


def is_date(text: str) -> bool:
    """Whether a text is a date in one of the forms that are known.

    >>> is_date("2020-01-31"), is_date("3/31/2020"), is_date("2020-02-31")
    (True, True, False)
    """
    return any(_times([text], form) for form in FORMATS)


def moments(dates: Sequence[str]) -> list[int] | list[datetime] | None:
    """What dates say: whole numbers (years), or times; None where they are neither, or can be read in two ways.

    >>> moments(["1999", "2000"]), moments(["2020-01"]), moments(["1/2/2020"]), moments(["soon"])
    ([1999, 2000], [datetime.datetime(2020, 1, 1, 0, 0)], None, None)
    """
    if all(_is_whole(each) and len(each) < 8 for each in dates):
        return [int(each) for each in dates]
    return next(iter(_readings(dates).values()), None)


def absent(dates: Sequence[str]) -> dict[int, list[str]]:
    """The dates that an otherwise regular series lacks, by the row before which they are absent.

    Regular is where nine of ten steps are alike, in months if all dates are one day of their months, and the others are
    multiples of that. Nothing lacks where a day of the week never occurs, where no step goes over midnight though there
    are many a day, where only the 366th days of years lack, or more than there are: such are the dates of offices,
    exchanges and models.

    >>> absent([f"2020-01-{day:02}" for day in range(1, 31) if day not in (4, 5)])
    {3: ['2020-01-04', '2020-01-05']}
    >>> absent(["2020", "2021", "2023"])
    {}
    """
    when = moments(dates)
    if not when or len(when) < 2:
        return {}
    places, back = _grid(when)
    steps = [b - a for a, b in pairwise(places)]
    step = _commonest(steps)
    gaps = [(row, size // step) for row, size in enumerate(steps, start=1) if step > 0 and size != step]
    if len(gaps) > MOST_GAPS * len(steps) or not all(size > 0 and size % step == 0 for size in steps):
        return {}
    if sum(size - 1 for _, size in gaps) > len(dates):
        return {}
    lacking = {row: [back(places[row - 1] + k * step) for k in range(1, size)] for row, size in gaps}
    if isinstance(when[0], int):
        return {row: [str(each) for each in some] for row, some in lacking.items()}
    times: list[Any] = list(when)
    if _has_hours(times, [each for some in lacking.values() for each in some]):
        return {}
    form = next(iter(_readings(dates)))
    return {row: [_written(each, form, dates) for each in some] for row, some in lacking.items()}


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
    when = moments(recent) if len(recent) > 1 else None
    if not when:
        return [f"+{k}" for k in range(1, count + 1)]
    places, back = _grid(when)
    step = _commonest([b - a for a, b in pairwise(places)])
    following = [back(places[-1] + k * step) for k in range(1, count + 1)]
    form = None if isinstance(when[0], int) else next(iter(_readings(recent)))
    return [_written(each, form, recent) if form else str(each) for each in following]


def _grid(when: Sequence[Any]) -> tuple[list[int], Callable[[int], Any]]:
    """Where moments lie among whole numbers: months if all are one day of their months, else seconds; and the way back.

    Whole numbers stay as they are.
    """
    if isinstance(when[0], int):
        return list(when), lambda place: place
    months = [12 * each.year + each.month - 1 for each in when]
    day = 31 if all(each == _on_day(each, 31) for each in when) else max(each.day for each in when)
    one_time = len({each.time() for each in when}) == 1
    if (
        one_time
        and _commonest([b - a for a, b in pairwise(months)])
        and all(each == _on_day(each, day) for each in when)
    ):
        first = when[0].replace(day=1)
        return months, lambda place: _on_day(first.replace(year=place // 12, month=place % 12 + 1), day)
    start = when[0]
    return [round((each - start).total_seconds()) for each in when], lambda place: start + timedelta(seconds=place)


def _has_hours(times: Sequence[datetime], lacking: Sequence[datetime]) -> bool:
    """Whether times are those of opening: on some weekdays never, never over midnight, or on 365 days of each year."""
    step = _commonest([b - a for a, b in pairwise(times)])
    if step > timedelta(seconds=DAY):
        return False
    span = (times[-1].date() - times[0].date()).days + 1
    passed = {(times[0].weekday() + k) % 7 for k in range(min(span, 7))}
    if passed - {each.weekday() for each in times} or all(_is_leap_day(each) for each in lacking):
        return True
    nights = [b - a for a, b in pairwise(times) if a.date() != b.date()]
    return bool(nights) and step < timedelta(seconds=DAY) and step not in nights


def _is_leap_day(time: datetime) -> bool:
    """Whether a calendar of 365 days leaves this day out: 29 February, or the last day of a leap year."""
    return (time.month, time.day) == (2, 29) or time.timetuple().tm_yday == 366


def _readings(dates: Sequence[str]) -> dict[str, list[datetime]]:
    """What dates say by form; nothing where two forms say different things: 3/4/2020 is in March or in April."""
    found = {form: times for form in FORMATS if (times := _times(dates, form))}
    return found if len({tuple(times) for times in found.values()}) == 1 else {}


def _times(dates: Sequence[str], form: str) -> list[datetime] | None:
    try:
        return [datetime.strptime(each, form) for each in dates]
    except ValueError:
        return None


def _on_day(time: datetime, day: int) -> datetime:
    """That day of the same month, or the month's last where it is shorter."""
    return time.replace(day=min(day, monthrange(time.year, time.month)[1]))


def _written(time: datetime, form: str, like: Sequence[str]) -> str:
    """A time in a form, without zeros where those like it have none: "Jan 1 2000", "1/1/2000"."""
    text = time.strftime(form)
    bare = form[:2] in ("%b", "%m", "%d") and not any(re.search(r"\b0\d", each) for each in like)
    return re.sub(r"\b0(?=\d)", "", text) if bare else text


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _commonest(steps: Sequence[T]) -> T:
    return Counter(steps).most_common(1)[0][0]
