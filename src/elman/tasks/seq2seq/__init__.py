"""Sequence to sequence: a text that answers a text."""

from .estimator import Seq2Seq as Seq2Seq
