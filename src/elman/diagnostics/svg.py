"""SVG: the few marks that drawings here are made of, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from ..errors import UserError

FONT = 12
"""Size of the letters."""
_LETTER = 0.61 * FONT  # width of one, in a font in which all are as wide
_CORNER = 5.0
_STYLE = f"""
text {{ font: {FONT}px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #222; }}
text.small {{ font-size: {FONT - 2}px; fill: #555; }}
text.end, text.name {{ font-weight: bold; }}
path {{ fill: none; stroke: #555; stroke-width: 1.4; }}
path.input {{ stroke: #0a7d5c; }}
path.state {{ stroke: #1f5fbf; }}
path.head, circle.dot {{ stroke: none; fill: #555; }}
path.head.input, circle.dot.input {{ fill: #0a7d5c; }}
path.head.state, circle.dot.state {{ fill: #1f5fbf; }}
rect, circle {{ stroke: #777; stroke-width: 1.2; fill: #fff; }}
rect.product {{ fill: #fff1cf; }}
rect.function {{ fill: #dbe9ff; }}
circle.pointwise {{ fill: #ffdfe4; }}
rect.end {{ fill: #eee; }}
""".strip()

Point = tuple[float, float]


def text_width(text: str) -> float:
    """What a text takes from left to right."""
    return len(text) * _LETTER


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    """Words whose middle line is at y."""
    return f'<text{_class(kind)} x="{_at(x)}" y="{_at(y + 0.35 * FONT)}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, *, round_by: float = 3) -> str:
    """A box around (x, y)."""
    corner = f'x="{_at(x - width / 2)}" y="{_at(y - height / 2)}"'
    return f'<rect{_class(kind)} {corner} width="{_at(width)}" height="{_at(height)}" rx="{_at(round_by)}"/>'


def circle(x: float, y: float, radius: float, kind: str) -> str:
    """A circle around (x, y)."""
    return f'<circle{_class(kind)} cx="{_at(x)}" cy="{_at(y)}" r="{_at(radius)}"/>'


def wire(points: Sequence[Point], kind: str = "") -> str:
    """A line through points, level and upright by turns, with round corners.

    >>> wire([(0, 0), (10, 0)])
    '<path d="M0 0L10 0"/>'
    """
    path = [f"M{_at(points[0][0])} {_at(points[0][1])}"]
    for before, (x, y), after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = (_toward((x, y), each) for each in (before, after))
        path.append(f"L{_at(ax)} {_at(ay)}Q{_at(x)} {_at(y)} {_at(bx)} {_at(by)}")
    path.append(f"L{_at(points[-1][0])} {_at(points[-1][1])}")
    return f'<path{_class(kind)} d="{"".join(path)}"/>'


def head(x: float, y: float, kind: str = "", toward: str = "right") -> str:
    """The head of an arrow that points "right", "left" or "up" and ends at (x, y)."""
    back = {"right": "l-7 -4v8z", "left": "l7 -4v8z", "up": "l-4 7h8z"}[toward]
    return f'<path class="{f"head {kind}".strip()}" d="M{_at(x)} {_at(y)}{back}"/>'


def drawing(width: float, height: float, title: str, marks: Iterable[str]) -> str:
    """A whole file: marks on white, later ones above."""
    body = "\n".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_at(width)}" height="{_at(height)}" '
        f'viewBox="0 0 {_at(width)} {_at(height)}" role="img">\n<title>{escape(title)}</title>\n'
        f'<style>\n{_STYLE}\n</style>\n<rect width="100%" height="100%" style="stroke: none"/>\n{body}\n</svg>\n'
    )


def save(path: str | Path, made: str) -> None:
    """Writes a drawing; raises ``UserError`` for another kind of file, and where it cannot be written."""
    path = Path(path)
    if path.suffix.lower() != ".svg":
        raise UserError(f"a drawing cannot be written to {str(path)!r}; give a name that ends in .svg")
    try:
        path.write_text(made, encoding="utf-8")
    except OSError as error:
        raise UserError(f"the drawing cannot be written: {error}") from error


def _toward(corner: Point, other: Point) -> Point:
    """The point where a corner's arc begins or ends."""
    (x, y), (ox, oy) = corner, other
    length = abs(ox - x) + abs(oy - y)
    share = min(_CORNER, length / 2) / length if length else 0
    return x + share * (ox - x), y + share * (oy - y)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
