"""Peers side by side: the same mathematics by Elman and by others, measured in one run."""
