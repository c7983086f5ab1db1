"""What the checks found, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass

from .registry import CHECKS


@dataclass(frozen=True)
class Check:
    """One check: ``message`` says what went wrong, or, where it passed, what there is to know (empty: nothing)."""

    name: str
    passed: bool
    seconds: float
    message: str = ""

    @property
    def about(self) -> str:
        """What is checked, in one sentence."""
        return CHECKS[self.name].about if self.name in CHECKS else "The cell can be built and take a step."


@dataclass(frozen=True)
class Report:
    """What ``check_cell`` found; ``print`` tells it, a line a check."""

    cell: str
    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def raise_if_failed(self) -> None:
        """Raises ``AssertionError`` with all that went wrong, if anything did."""
        if self.failures:
            raise AssertionError(
                f"{self.cell} fails {len(self.failures)} of {len(self.checks)} checks\n"
                + "\n".join(f"  {check.name}: {check.message}" for check in self.failures)
            )

    def __str__(self) -> str:
        width = max((len(check.name) for check in self.checks), default=0)
        lines = [f"{self.cell}: {len(self.checks) - len(self.failures)} of {len(self.checks)} checks passed"]
        for check in self.checks:
            lines.append(f"{'ok' if check.passed else 'FAILED':<7} {check.name:<{width}}  {check.about}")
            lines += [f"{'':8}{'':{width}}  {check.message}"] * bool(check.message)
        return "\n".join(lines)
