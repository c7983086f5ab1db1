"""Published tables, trained again: ``elman reproduce``."""
