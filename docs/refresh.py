"""Runs the Python of a page and writes what it prints below each block: ``python docs/refresh.py docs/engine.md``.

The blocks of a page run in order, as one program. A block whose first line is ``# name.py`` is a file of that name in
tracebacks and reasons. Times differ from run to run: output that differs in these alone stays as it was.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"(?:compiled|from the cache|plan) in \d+\.\d\d s")


def refreshed(page: str) -> str:
    """The page with the output of its blocks as it is now.

    >>> print(refreshed("```python\\nprint(1 + 1)\\n```\\n"), end="")
    ```python
    print(1 + 1)
    ```
    <BLANKLINE>
    ```text
    2
    ```
    """
    names: dict[str, Any] = {"__name__": "page"}
    return _BLOCK.sub(lambda block: _run(block, names), page)


def _run(block: re.Match[str], names: dict[str, Any]) -> str:
    code, old = block["code"], block["output"]
    title = re.match(r"# (\S+\.py)\n", code)
    file = title[1] if title else "page.py"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, file, "exec"), names)
    new = "".join(f"{line.rstrip()}\n" for line in printed.getvalue().rstrip().splitlines())
    if old is not None and _TIME.sub("", old) == _TIME.sub("", new):
        new = old
    return f"```python\n{code}```\n" + (f"\n```text\n{new}```\n" if new else "")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")
