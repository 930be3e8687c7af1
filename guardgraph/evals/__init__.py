"""Scoring graphs end to end."""

from __future__ import annotations

from guardgraph.evals.case import Case
from guardgraph.evals.evaluate import Progress, aevaluate, evaluate
from guardgraph.evals.report import Regression, Report, Tally
from guardgraph.evals.results import UnknownRun, load_report, run_names
from guardgraph.evals.row import Row
from guardgraph.evals.score import Score
from guardgraph.evals.suite import Suite, load_suite
from guardgraph.evals.wilson import Interval, wilson

__all__ = (
    "Case",
    "Interval",
    "Progress",
    "Regression",
    "Report",
    "Row",
    "Score",
    "Suite",
    "Tally",
    "UnknownRun",
    "aevaluate",
    "evaluate",
    "load_report",
    "load_suite",
    "run_names",
    "wilson",
)
