"""Tagging: a tag for every step."""

from .estimator import Tagger as Tagger
