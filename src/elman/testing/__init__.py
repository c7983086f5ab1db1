"""``check_cell``: what a recurrent cell must do, ours or anyone's, and what went wrong where it does not."""

from .check import check_cell as check_cell
from .check import names as names
from .check import run_checks as run_checks
from .report import Check as Check
from .report import Report as Report
