"""Dates of a series: what they say, which are absent, and those that follow, in the manner of those there are."""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")
Form = tuple[str, str]
"""How ``strptime`` reads a day, and how the time of day behind it, "" where there is none."""
DAYS = (
    "%Y-%m-%d", "%Y-%m", "%Y/%m/%d", "%b %d %Y", "%b-%d-%Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d.%m.%Y", "%d.%m.%y",
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y",
)  # fmt: skip
# Dates of digits alone, by their number; ten may be seconds since 1970 too, which begin with neither 19 nor 20.
COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
TIME = re.compile(
    r"(?P<gap>T|,? +)\d\d?:\d\d(?P<seconds>:\d\d)?(?P<zeros>(?<=:\d\d:\d\d)\.0+)?(?P<half> ?[AP]M)?$", re.IGNORECASE
)
ONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
# What stands behind a time of day: a time zone, before it zeros of a second.
ZONE = re.compile(r"(?<=:\d\d)(?:\.0+)?\s?(?:Z|UTC|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)$")
DAY = 86_400
MOST_GAPS = 0.1  # of all steps; shops that close one day a week have a sixth


def is_date(text: str) -> bool:
    """Whether a text is a date in one of the forms that are known; a time may have a time zone behind it.

    >>> is_date("2020-01-31"), is_date("3/31/2020 3:00 PM"), is_date("2020-01-31T12:00:00+02:00"), is_date("2020-02-31")
    (True, True, True, False)
    """
    return any(_times([text], form) for form in _forms(text))


def moments(dates: Sequence[str]) -> list[int] | list[datetime] | None:
    """What dates say: whole numbers (years), or times; None where they are neither, or can be read in two ways.

    Of 3/4/2020 all dates together say whether that is in March or in April: one day above 12 decides, else the reading
    in which more steps are alike, if most are. Times with time zones are instants, however many zones there are.

    >>> moments(["1999", "2000"]), moments(["2020-01"]), moments(["1/2/2020"]), moments(["soon"])
    ([1999, 2000], [datetime.datetime(2020, 1, 1, 0, 0)], None, None)
    >>> [time.month for time in moments(["1/11/2020", "1/12/2020", "1/1/2021"])]
    [11, 12, 1]
    """
    found = _read(dates)
    return found and found[1]


def why_unread(dates: Sequence[str]) -> str | None:
    """What in dates cannot be read, in words; None where ``moments`` reads all.

    >>> why_unread(["05-Mar-24", "06-Foo-24"]), why_unread(["1/2/2020"]), why_unread(["1999"])
    ("'06-Foo-24'", "days or months first in '1/2/2020'?", None)
    """
    if not dates or _read(dates):
        return None
    row = max((len(_times_before_another(dates, form)) for form in _forms(dates[0])), default=0)
    return f"days or months first in {dates[0]!r}?" if row == len(dates) else repr(dates[row])


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
    found = _read(dates)
    if not found or len(dates) < 2:
        return {}
    form, when = found
    places, back = _grid(when)
    steps = [b - a for a, b in pairwise(places)]
    step = _commonest(steps)
    gaps = [(row, size // step) for row, size in enumerate(steps, start=1) if step > 0 and size != step]
    if len(gaps) > MOST_GAPS * len(steps) or not all(size > 0 and size % step == 0 for size in steps):
        return {}
    if sum(size - 1 for _, size in gaps) > len(dates):
        return {}
    lacking = {row: [back(places[row - 1] + k * step) for k in range(1, size)] for row, size in gaps}
    if form and _has_hours(when, [each for some in lacking.values() for each in some]):
        return {}
    written = _writer(form, dates)
    return {row: [written(each, dates[row - 1]) for each in some] for row, some in lacking.items()}


def dates_after(dates: Sequence[str] | None, count: int) -> list[str]:
    """The ``count`` labels that follow ``dates``: regular dates and whole numbers go on, others become +1, +2, ...

    Of gaps between dates the commonest counts, so that a missing weekend does no harm. Dates that are the last of
    their months stay so; others keep their day, or the month's last where it is shorter. A time zone stays that of the
    last date.

    >>> dates_after(["2020-11-01", "2020-12-01"], 2), dates_after(["1999", "2000"], 1), dates_after(None, 2)
    (['2021-01-01', '2021-02-01'], ['2001'], ['+1', '+2'])
    >>> dates_after(["2020-11-30", "2020-12-31"], 2)
    ['2021-01-31', '2021-02-28']
    """
    dates = list(dates or [])
    recent = dates[-100:]
    found = _read(recent, dates) if len(recent) > 1 else None
    if not found:
        return [f"+{k}" for k in range(1, count + 1)]
    form, when = found
    places, back = _grid(when)
    step = _commonest([b - a for a, b in pairwise(places)])
    written = _writer(form, recent)
    return [written(back(places[-1] + k * step), recent[-1]) for k in range(1, count + 1)]


def _grid(when: Sequence[Any]) -> tuple[list[int], Callable[[int], Any]]:
    """Where moments lie among whole numbers: months if all are one day of their months, else seconds; and the way back.

    Whole numbers stay as they are.
    """
    if isinstance(when[0], int):
        return list(when), lambda place: place
    one_time = len({each.time() for each in when}) == 1
    if one_time:
        # By the clock on the wall: where summer time begins or ends a day is a step like the others.
        when = [each.replace(tzinfo=None) for each in when]
    months = [12 * each.year + each.month - 1 for each in when]
    day = 31 if all(each == _on_day(each, 31) for each in when) else max(each.day for each in when)
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


def _read(dates: Sequence[str], column: Sequence[str] = ()) -> tuple[Form | None, list[Any]] | None:
    """The form of dates, None of whole numbers, and what they say; ``column`` are all dates, where these are the last.

    None where no form fits all, or two forms say different things and the column does not decide.
    """
    if not dates:
        return None
    found = {form: times for form in _forms(dates[0]) if (times := _times(dates, form))}
    if not found and all(map(_is_whole, dates)) and not is_date(dates[0]):
        return None, [int(each) for each in dates]
    if len({tuple(times) for times in found.values()}) > 1:
        readings = {form: times for form in found if (times := _times(column or dates, form))}
        likely = next(iter(readings)) if len(readings) == 1 else _likeliest(readings)
        return None if likely is None else (likely, found[likely])
    return next(iter(found.items()), None)


def _forms(text: str) -> list[Form]:
    """The forms in which a text may be written: its digits and signs alone tell how its time of day is."""
    if _is_whole(text):
        length = len(text) if text[:2] in ("19", "20") or len(text) == 8 else 0
        return [(COMPACT[length], "")] if length in COMPACT else []
    time = _hour(text)
    if not time:
        return [(day, "") for day in DAYS]
    hour = f"{time['gap']}{'%I' if time['half'] else '%H'}:%M{':%S' if time['seconds'] else ''}{time['zeros'] or ''}"
    half = re.sub("[AP]M", "%p", time["half"] or "", flags=re.IGNORECASE)
    return [(day, hour + half) for day in (*DAYS, COMPACT[8])]


def _likeliest(readings: Mapping[Form, Sequence[datetime]]) -> Form | None:
    """The form in which most steps are alike, and before all the times are in order; None where two are as good."""
    ranks = {}
    for form, times in readings.items():
        places = _grid(times)[0] if len(times) > 1 else []
        steps = [b - a for a, b in pairwise(places) if a != b]
        alike = steps.count(_commonest(steps)) if steps else 0
        if alike > max(1, len(steps) / 2):
            ranks[form] = min(steps) < 0, len(steps) - alike
    best = [form for form, rank in ranks.items() if rank == min(ranks.values())]
    return best[0] if len(best) == 1 else None


def _times(dates: Sequence[str], form: Form) -> list[datetime] | None:
    """What dates say in a form, None where it does not fit all, or only some have a time zone."""
    times = _times_before_another(dates, form)
    return times if len(times) == len(dates) else None


def _times_before_another(dates: Sequence[str], form: Form) -> list[datetime]:
    """What the first dates say, up to one that the form does not fit, or that differs in having a time zone."""
    times: list[datetime] = []
    whole = "".join(form)
    for each in dates:
        try:
            time = _time(each, whole)
        except ValueError:
            break
        if times and (time.tzinfo is None) != (times[0].tzinfo is None):
            break
        times.append(time)
    return times


def _time(text: str, form: str) -> datetime:
    zone = ZONE.search(text)
    if not zone:
        return datetime.strptime(text, form)
    offset = timedelta(hours=int(zone["hours"] or 0), minutes=int(zone["minutes"] or 0))
    there = timezone(-offset if zone["sign"] == "-" else offset)
    return datetime.strptime(text[: zone.start()], form).replace(tzinfo=there)


def _on_day(time: datetime, day: int) -> datetime:
    """That day of the same month, or the month's last where it is shorter."""
    return time.replace(day=min(day, monthrange(time.year, time.month)[1]))


def _writer(form: Form | None, dates: Sequence[str]) -> Callable[[Any, str], str]:
    """What writes a moment as these dates are, in the time zone of one of them, without zeros if they have none."""
    if form is None:
        return lambda moment, like: str(moment)
    day, hour = form
    parts = [(each[: time.start()], time[0]) if (time := _hour(each)) else (each, "") for each in dates]
    bare_day, bare_hour = (any(map(ONE_DIGIT.search, texts)) for texts in zip(*parts, strict=True))
    small = any("m" in time for _, time in parts)

    def written(moment: datetime, like: str) -> str:
        zone = ZONE.search(like)
        if moment.tzinfo:
            moment = moment.astimezone(_time(like, day + hour).tzinfo)
        clock = moment.strftime(_bare(hour, moment) if bare_hour else hour)
        date = moment.strftime(_bare(day, moment) if bare_day else day)
        return date + (clock.lower() if small else clock) + (zone[0] if zone else "")

    return written


def _hour(text: str) -> re.Match[str] | None:
    """The time of day in a date, without its zone."""
    zone = ZONE.search(text)
    return TIME.search(text, 0, zone.start() if zone else len(text))


def _bare(form: str, moment: datetime) -> str:
    """A form with the numbers of this moment in it, those that have one digit without a zero before it."""
    numbers = {"%d": moment.day, "%m": moment.month, "%H": moment.hour, "%I": (moment.hour - 1) % 12 + 1}
    for field, number in numbers.items():
        form = form.replace(field, str(number))
    return form


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _commonest(steps: Sequence[T]) -> T:
    return Counter(steps).most_common(1)[0][0]
