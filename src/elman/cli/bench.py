"""``elman bench``: how fast scan is, beside its peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .options import parse


@dataclass(frozen=True)
class Bench:
    """The same mathematics by Elman and by its peers, by turns in one run: ratios, times, memory, time to compile.

    A ratio is the peer's time by ours: above 1 we are faster. Times are medians. They count only where outputs and
    gradients agreed; where any did not, the command ends with 1. Rows are merged into bench.json and bench.md, which
    are written after every row. The whole table takes about an hour on two cores.

    Examples:
      elman bench --shapes quick
      elman bench --shapes 100x64x512 35x20x200 --cells lstm gru --peers torch eager
      elman bench --kinds memory codegen --cells lstm
      elman bench --ragged
    """

    shapes: tuple[str, ...] = ()
    """Steps x batch x units, such as 100x64x512, or the sets standard and quick; standard unless given."""

    cells: tuple[str, ...] = ()
    """Cells by name, file.py:ClassName, or all; ten of them unless given, lstm with --ragged and --stream."""

    peers: tuple[str, ...] = ()
    """Of torch, torch-float32, torch-cell, eager, compile, jax, torchrecurrent, onnxruntime; all but compile unless
    given, and of the optional ones those installed."""

    kinds: tuple[str, ...] = ()
    """Of train, forward, memory and codegen; all unless given, train and forward for shapes of your own."""

    ragged: bool = False
    """Measure training on ragged batches in place of the table."""

    stream: bool = False
    """Measure single steps in place of the table."""

    dtype: Literal["float32", "float64", "bf16"] = "float32"
    """Numbers to compute with; bf16 is autocast."""

    threads: int | None = None
    """CPU threads; PyTorch's own choice unless given."""

    pairs: int | None = None
    """Turns of each; 9 unless given, 2 for the set quick."""

    compile: bool = False
    """Also torch.compile of the loop, which may take minutes a row."""

    compile_limit: float = 120.0
    """Seconds after which torch.compile is given up."""

    out: str | None = None
    """Where bench.json and bench.md are; docs/results in the repository, elsewhere bench, unless given."""

    fresh: bool = False
    """Forget the results that are there."""


def run(arguments: list[str]) -> int:
    command = parse(Bench, arguments, "bench")
    from ..bench.run import run_bench  # slow to import, and not needed for --help

    return run_bench(**vars(command))
