"""Files that import an optional package have no doctests where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

NEEDS = {"elman/bench/jax_peer.py": ["jax"], "elman/bench/onnx_peer.py": ["onnx", "onnxruntime"]}
collect_ignore = [file for file, packages in NEEDS.items() if any(find_spec(each) is None for each in packages)]
