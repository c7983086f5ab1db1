"""Results as text: a line for every row while it goes, means at the end, and the whole as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .cases import DTYPES, FORWARD, RAGGED, STANDARD, STREAM, TRAIN
from .cells import NAMES
from .roster import PEERS

KINDS = {
    TRAIN: "Training step: forward, and backward to the input and all parameters",
    FORWARD: "Forward, without gradients",
    RAGGED: "Training step on ragged batches: lengths 1 to T, drawn evenly",
    STREAM: "A sequence that comes one step at a time, without gradients",
}

Record = Mapping[str, Any]


def header(peers: Sequence[str]) -> str:
    """What stands above the lines: ratios are the peer's time by ours, so above 1 we are faster."""
    names = "".join(f"{name:>16}" for name in peers)
    return f"{'cell':<19}{'T x B x H':<13}{'kind':<8}{'ms':>9}{'sgemm':>7}{names}"


def line(row: Record, peers: Sequence[str]) -> str:
    """One row: our time, its share of the machine's sgemm, and for each peer the ratio and its time.

    >>> row = {"cell": "gru", "shape": "5x4x3", "kind": "train", "ours": {"ms": 2.0, "share": 0.5}, "backend": "cpu",
    ...        "peers": {"torch": {"ms": 3.0, "ratio": 1.5}}}
    >>> line(row, ["torch", "jax"])
    'gru                5x4x3        train        2.00   50 %     1.50   3.00               -'
    """
    ours = row["ours"]
    begin = f"{row['cell']:<19}{row['shape']:<13}{row['kind']:<8}"
    if "differs" in ours:
        return f"{begin}  DIFFERS by {ours['differs']:.1e}: not timed"
    shown = "".join(f"{_against(row['peers'].get(name)):>16}" for name in peers)
    remark = "" if row["backend"] == "cpu" else f"  {row['backend']}"
    if row["kind"] == STREAM:
        remark += f"  {ours['ms'] * 1e3 / _steps(row):.1f} us a step"
    return f"{begin}{number(ours['ms']):>9}{ours['share']:>6.0%}".replace("%", " %") + shown + remark


def _steps(row: Record) -> int:
    return int(row["shape"].partition("x")[0])


def _against(peer: Record | None) -> str:
    if peer is None:
        return "-"
    if "differs" in peer:
        return "DIFFERS"
    if "failed" in peer:
        return "failed"
    return f"{peer['ratio']:.2f} {number(peer['ms']):>6}"


def number(value: float) -> str:
    """Three digits, as far as they are behind the point.

    >>> number(0.01234), number(1.234), number(123.4), number(12345.6)
    ('0.012', '1.23', '123', '12346')
    """
    return (
        f"{value:.3f}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else f"{value:.0f}"
    )


def mistakes(row: Record) -> list[str]:
    """Who did not agree in this row, and who failed, in words."""
    place = f"{row['cell']} {row['shape']} {row['kind']}"
    everybody = {"elman": row["ours"], **row["peers"]}
    return [
        f"{place}: {name} differs from the eager loop in float64 by {each['differs']:.1e} of the norm; not a timing"
        for name, each in everybody.items()
        if "differs" in each
    ] + [f"{place}: {name} failed: {each['failed']}" for name, each in everybody.items() if "failed" in each]


def is_wrong(row: Record) -> bool:
    """Whether somebody's results were not what they should be."""
    return any("differs" in each for each in (row["ours"], *row["peers"].values()))


def geometric_means(rows: Iterable[Record]) -> dict[tuple[str, str], dict[str, tuple[float, float, int]]]:
    """By (cell, kind) and peer: the geometric mean of the ratios, the smallest, and how many there are.

    >>> rows = [{"cell": "gru", "kind": "train", "peers": {"torch": {"ratio": r}}} for r in (1.0, 4.0)]
    >>> geometric_means(rows)
    {('gru', 'train'): {'torch': (2.0, 1.0, 2)}}
    """
    ratios: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        for name, peer in row["peers"].items():
            if "ratio" in peer:
                ratios.setdefault((row["cell"], row["kind"]), {}).setdefault(name, []).append(peer["ratio"])
    return {
        key: {name: (statistics.geometric_mean(each), min(each), len(each)) for name, each in by_peer.items()}
        for key, by_peer in ratios.items()
    }


def mean_lines(rows: Iterable[Record], peers: Sequence[str]) -> list[str]:
    """Geometric means of the ratios, and the smallest, below the columns of `header`."""
    lines = []
    for (cell, kind), by_peer in geometric_means(rows).items():
        shown = [f"{by_peer[name][0]:.2f} ({by_peer[name][1]:.2f})" if name in by_peer else "-" for name in peers]
        lines.append(f"{cell:<19}{'mean (least)':<13}{kind:<8}{'':>16}" + "".join(f"{each:>16}" for each in shown))
    return lines


def memory_line(record: Record) -> str:
    """One cell's peak memory of a training step.

    >>> memory_line({"cell": "gru", "shape": "5x4x3", "peer": "torch",
    ...              "ours": {"step": 10.0, "first": 12.0}, "theirs": {"step": 20.0, "first": 21.0}})
    'gru                5x4x3        memory  10.0 MiB a step, torch 20.0 (0.50 of it); the first step 12.0, torch 21.0'
    """
    ours, theirs, peer = record["ours"], record["theirs"], record["peer"]
    return (
        f"{record['cell']:<19}{record['shape']:<13}memory  {number(ours['step'])} MiB a step, {peer} "
        f"{number(theirs['step'])} ({_share(ours['step'], theirs['step'])} of it); "
        f"the first step {number(ours['first'])}, {peer} {number(theirs['first'])}"
    )


def codegen_line(record: Record) -> str:
    """How long one cell's code takes to make.

    >>> codegen_line({"cell": "gru", "hidden": 8, "trace": 0.5, "generate": 0.25, "llvm": 0.2, "from_cache": 0.01})
    'gru                H 8          code    traced in 0.50 s, generated in 0.25 s (LLVM 0.20), from the cache in 10 ms'
    """
    begin = f"{record['cell']:<19}{'H ' + str(record['hidden']):<13}code    "
    if "refused" in record:
        return f"{begin}not compiled: {record['refused']}"
    return (
        f"{begin}traced in {record['trace']:.2f} s, generated in {record['generate']:.2f} s (LLVM {record['llvm']:.2f})"
        f", from the cache in {record['from_cache'] * 1e3:.0f} ms"
    )


def _share(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs > 0 else "-"


# Markdown


def markdown(data: Record) -> str:
    """The page of the results: facts of the machine, a table of each kind, means, memory and code."""
    rows = sorted(data["rows"], key=_order)
    dates = sorted({record["date"] for section in ("rows", "memory", "codegen") for record in data[section]})
    used = [record["versions"] for section in ("rows", "memory", "codegen") for record in data[section]]
    names = dict.fromkeys(name for each in used for name in each)
    versions = [f"{name} {', '.join(sorted({each[name] for each in used if name in each}))}" for name in names]
    facts = data["machine"]
    parts = [
        "# Benchmark",
        "Written by `elman bench` together with `bench.json`. All peers of a row compute the same problem in one "
        "process and take turns; a time is the median, a ratio the median over the rounds of the peer's time by ours, "
        "so above 1 we are faster. A time is written only where outputs and gradients agreed with the eager loop in "
        "float64. Sizes are steps x batch x units, with as many input features as units. The share is that of the "
        "matrix products' operations a second in those of one large product, measured in the same run. JAX is "
        "`lax.scan` under `jit` with `NPROC` set to the threads; it and the eager loop do the input projection of all "
        "steps as one product.",
        f"{facts['cpu']} ({facts['architecture']}, {facts['vector bits']}-bit vectors), {facts['cores']} cores, "
        f"{facts['system']}; Python {facts['python']}, {', '.join(versions)}; "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}.",
    ]
    groups = dict.fromkeys((row["kind"], row["dtype"], row["threads"]) for row in rows)
    for kind, dtype, threads in groups:
        chosen = [row for row in rows if (row["kind"], row["dtype"], row["threads"]) == (kind, dtype, threads)]
        parts += [f"## {KINDS[kind]}; {dtype}, {threads} thread{'s' * (threads != 1)}", _table(chosen), _means(chosen)]
    if data["memory"]:
        parts += ["## Peak memory of a training step", _MEMORY, _memory_table(sorted(data["memory"], key=_order))]
    if data["codegen"]:
        parts += ["## Time to make the code of a cell", _CODEGEN, _codegen_table(sorted(data["codegen"], key=_order))]
    return "\n\n".join(part for part in parts if part) + "\n"


_MEMORY = (
    "MiB of resident memory, each in a process of its own. A step: its peak above what was there before, once all code "
    "is loaded. The first step: the peak above the idle process, code and libraries included."
)
_CODEGEN = (
    "In a new process: tracing and planning; code generation with nothing in the cache, and LLVM's part of it; "
    "the same with the code in the cache."
)


def _table(rows: Sequence[Record]) -> str:
    peers = _peers(rows)
    steps = rows[0]["kind"] == STREAM
    head = ["cell", "T x B x H", "us a step" if steps else "ms", "share of sgemm", *peers]
    lines = []
    for row in rows:
        ours = row["ours"]
        cells = [row["cell"], row["shape"].replace("x", " x ")]
        if "differs" in ours:
            cells += [f"differs by {ours['differs']:.0e}", "", *[""] * len(peers)]
        else:
            by = 1e3 / _steps(row) if steps else 1.0
            cells += [number(ours["ms"] * by), f"{ours['share']:.0%}".replace("%", " %")]
            cells += [_cell(row["peers"].get(name), by) for name in peers]
        lines.append(cells)
    return _pipes(head, lines)


def _cell(peer: Record | None, by: float) -> str:
    if peer is None:
        return ""
    if "ratio" not in peer:
        return "differs" if "differs" in peer else "failed"
    return f"**{peer['ratio']:.2f}** ({number(peer['ms'] * by)})"


def _means(rows: Sequence[Record]) -> str:
    peers = _peers(rows)
    means = geometric_means(rows)
    if not means or len(rows) == 1:
        return ""
    lines = []
    for (cell, _), by_peer in means.items():
        shown = [f"{by_peer[name][0]:.2f} ({by_peer[name][1]:.2f})" if name in by_peer else "" for name in peers]
        lines.append([cell, *shown])
    return "Geometric means of the ratios, and the smallest:\n\n" + _pipes(["cell", *peers], lines)


def _memory_table(records: Sequence[Record]) -> str:
    head = ["cell", "T x B x H", "dtype", "a step", "peer", "its step", "ratio", "first step", "its first step"]
    lines = [
        [
            each["cell"],
            each["shape"].replace("x", " x "),
            each["dtype"],
            number(each["ours"]["step"]),
            each["peer"],
            number(each["theirs"]["step"]),
            _share(each["ours"]["step"], each["theirs"]["step"]),
            number(each["ours"]["first"]),
            number(each["theirs"]["first"]),
        ]
        for each in records
    ]
    return _pipes(head, lines)


def _codegen_table(records: Sequence[Record]) -> str:
    head = ["cell", "H", "dtype", "trace, s", "generate, s", "LLVM, s", "from the cache, ms"]
    lines = []
    for each in records:
        begin = [each["cell"], str(each["hidden"]), each["dtype"]]
        if "refused" in each:
            lines.append([*begin, f"not compiled: {each['refused']}", "", "", ""])
            continue
        times = [f"{each['trace']:.2f}", f"{each['generate']:.2f}", f"{each['llvm']:.2f}"]
        lines.append([*begin, *times, f"{each['from_cache'] * 1e3:.0f}"])
    return _pipes(head, lines)


def _pipes(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(each)} |" for each in (head, rule, *lines))


def _peers(rows: Iterable[Record]) -> list[str]:
    found = {name for row in rows for name in row["peers"]}
    return [name for name in PEERS if name in found]


def _order(record: Record) -> tuple[Any, ...]:
    """As the tables are read: by kind, cell, and shape, the standard ones first."""
    kind = list(KINDS).index(record.get("kind", TRAIN))
    shape = record.get("shape", "")
    known = [str(each) for each in STANDARD]
    sizes = tuple(map(int, shape.split("x"))) if shape else (record["hidden"],)
    place = known.index(shape) if shape in known else len(known)
    cell = record["cell"]
    first = (NAMES.index(cell), "") if cell in NAMES else (len(NAMES), cell)
    return kind, DTYPES.index(record["dtype"]), record["threads"], first, place, sizes
