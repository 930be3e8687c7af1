"""What outcomes are scored by: one metric, one file."""

from guardgraph.evals.metrics.citations_valid import CitationsValid
from guardgraph.evals.metrics.facts_found import FactsFound
from guardgraph.evals.metrics.metric import Metric
from guardgraph.evals.metrics.status_as_expected import StatusAsExpected

__all__ = ("CitationsValid", "FactsFound", "Metric", "StatusAsExpected")
