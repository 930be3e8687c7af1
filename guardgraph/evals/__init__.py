"""Scoring graphs end to end."""

from guardgraph.evals.case import Case, CaseResult, Score
from guardgraph.evals.evaluate import EvalOptions, Progress, aevaluate, evaluate
from guardgraph.evals.report import Interval, MetricSummary, Regression, Report, wilson
from guardgraph.evals.results import UnknownRun, load_report, run_names
from guardgraph.evals.suite import Suite, load_suite

__all__ = (
    "Case",
    "CaseResult",
    "EvalOptions",
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
