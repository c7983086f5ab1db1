"""Lets the tests of this room import the toy run, which subprocesses run as a script too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
