"""Which of the host's instructions multiply bfloat16."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from ...errors import UserError, nearest
from . import amx
from .jit import Host, host

WAYS = ("amx", "dot", "emulate")
FEWEST_ROWS = 4  # for tiles: fewer are done as soon by vectors


@dataclass(frozen=True)
class Way:
    """How products of bfloat16 are computed: by tiles ("amx", AMX) or by vectors ("dot", AVX512-BF16).

    ``native``: by the host's own instructions; else ordinary ones do the same. ``str`` says it in words.

    >>> str(Way("amx", native=True)), str(Way("dot", native=False)), Way("dot", native=True).padded(7)
    ('AMX tiles', 'emulated', 8)
    """

    kind: Literal["amx", "dot"]
    native: bool

    def __str__(self) -> str:
        name = "AMX tiles" if self.kind == "amx" else "AVX512-BF16 dot products"
        return name if self.native else "emulated" if self.kind == "dot" else f"{name}, emulated"

    def padded(self, terms: int) -> int:
        """How many terms a product has together with the zeros that complete a tile or a pair."""
        unit = amx.TERMS if self.kind == "amx" else 2
        return -(-terms // unit) * unit


def way_for(rows: int) -> Way:
    """The fastest way here for a batch of ``rows``, or the one that ``$ELMAN_BF16`` asks for.

    "amx" and "dot" asked for where the host has no such instructions are emulated; "emulate" is "dot" so on any host.
    Raises ``UserError`` for another value, and for "amx" where vectors are narrower than a tile.
    """
    here, asked = host(), os.environ.get("ELMAN_BF16", "")
    if asked and asked not in WAYS:
        raise UserError(f"ELMAN_BF16 is {asked!r}; {nearest(asked, WAYS)}")
    if asked == "amx" and here.vector_bytes != amx.ROW_BYTES:
        raise UserError(f"ELMAN_BF16 is 'amx', which needs vectors of 64 bytes; here they have {here.vector_bytes}")
    if asked == "amx" or (not asked and rows >= FEWEST_ROWS and _has_tiles(here)):
        return Way("amx", _has_tiles(here))
    return Way("dot", asked != "emulate" and here.has("avx512bf16"))


def multiplies_bf16() -> bool:
    """Whether the host has any instructions that multiply bfloat16, which PyTorch then uses too."""
    return any(map(host().has, ("amx-bf16", "avx512bf16", "bf16")))  # the last one is Arm's


def _has_tiles(here: Host) -> bool:
    return here.has("amx-bf16") and here.has("avx512bf16") and amx.permitted()
