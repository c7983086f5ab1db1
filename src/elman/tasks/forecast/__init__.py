"""Forecasting: the next values of a series."""

from .estimator import Forecaster as Forecaster
