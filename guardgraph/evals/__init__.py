"""Scoring graphs end to end."""

from __future__ import annotations

from guardgraph.evals.case import Case
from guardgraph.evals.evaluate import Progress, aevaluate, evaluate
from guardgraph.evals.report import MetricSummary, Regression, Report
from guardgraph.evals.results import UnknownRun, load_report, run_names
from guardgraph.evals.row import CaseResult
from guardgraph.evals.score import Score
from guardgraph.evals.suite import Suite, load_suite
from guardgraph.evals.wilson import Interval, wilson

__all__ = (
    "Case",
    "CaseResult",
    "Interval",
    "MetricSummary",
    "Progress",
    "Regression",
    "Report",
    "Score",
    "Suite",
    "UnknownRun",
    "aevaluate",
    "evaluate",
    "load_report",
    "load_suite",
    "run_names",
    "wilson",
)
