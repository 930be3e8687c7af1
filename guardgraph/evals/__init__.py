"""Scoring graphs end to end."""

from guardgraph.evals.case import Case, CaseResult, Score
from guardgraph.evals.evaluate import EvalOptions, Progress, aevaluate, evaluate
from guardgraph.evals.judge_bias import (
    BiasReport,
    JudgeRecord,
    agreement_bias,
    position_bias,
    record_of,
    verbosity_bias,
)
from guardgraph.evals.report import Interval, MetricSummary, Regression, Report, wilson
from guardgraph.evals.results import UnknownRun, load_report, run_names
from guardgraph.evals.routing import routing_report
from guardgraph.evals.routing_report import Confusion, Overlap, RoutingReport, RungSummary, WorkerSummary
from guardgraph.evals.suite import Suite, load_suite

__all__ = (
    "BiasReport",
    "Case",
    "CaseResult",
    "Confusion",
    "EvalOptions",
    "Interval",
    "JudgeRecord",
    "MetricSummary",
    "Overlap",
    "Progress",
    "Regression",
    "Report",
    "RoutingReport",
    "RungSummary",
    "Score",
    "Suite",
    "UnknownRun",
    "WorkerSummary",
    "aevaluate",
    "agreement_bias",
    "evaluate",
    "load_report",
    "load_suite",
    "position_bias",
    "record_of",
    "routing_report",
    "run_names",
    "verbosity_bias",
    "wilson",
)
