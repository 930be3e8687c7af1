"""How well a router decides on examples: the report and its table."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from guardgraph.evals.report import in_columns, wilson
from guardgraph.state import FrozenModel, RoutingRung, to_json

__all__ = ("Confusion", "Overlap", "RoutingReport", "RungSummary", "WorkerSummary")

_OUT_OF_SCOPE = "(none)"
_SHOWN = 8


class RungSummary(FrozenModel):
    """What one rung has decided."""

    rung: RoutingRung
    """The rung; `model` counts what a model would be asked, where it was not run."""
    count: int
    """Examples that it decided."""
    share: float
    """Its part of all examples, from 0 to 1."""
    right: int | None
    """Examples that it decided rightly; `None` for a model that was not run."""

    @property
    def accuracy(self) -> float | None:
        """The part of its decisions that is right, from 0 to 1; `None` where that is unknown."""
        return self.right / self.count if self.right is not None and self.count else None


class WorkerSummary(FrozenModel):
    """How a worker's requests are routed. Examples that wait for a model that was not run are left out."""

    worker: str
    """The name of the worker."""
    examples: int
    """Examples that belong to it."""
    routed: int
    """Examples that were routed to it."""
    right: int
    """Those of them that belong to it."""

    @property
    def recall(self) -> float | None:
        """The part of its examples that reaches it; `None` without any."""
        return self.right / self.examples if self.examples else None

    @property
    def precision(self) -> float | None:
        """The part of what reaches it that belongs to it; `None` where nothing does."""
        return self.right / self.routed if self.routed else None


class Confusion(FrozenModel):
    """Examples of one worker that were routed to another one."""

    expected: str | None
    """The worker to which they belong; `None` where they belong to none."""
    routed: str
    """The worker that got them."""
    count: int
    """How many."""


class Overlap(FrozenModel):
    """Two workers that the classifier does not separate well: their domains overlap."""

    first: str
    second: str
    confused: int
    """Examples of one of them for which the classifier scores the other one best."""
    close: int
    """Examples of one of them for which these two have the best scores, closer than the margin."""
    share: float
    """The part of the examples of both (0 to 1) that is confused or close."""


class RoutingReport(FrozenModel):
    """How well a router decides on examples; `print(report)` is a table."""

    examples: int
    """All examples."""
    decided: int
    """Those that were decided: all but those that wait for a model that was not run."""
    right: int
    """Those that were decided rightly: by their worker, or by the fallback worker where they belong to none."""
    rungs: tuple[RungSummary, ...]
    """What each rung has decided."""
    workers: tuple[WorkerSummary, ...]
    """How the requests of each worker are routed, in the order of the router."""
    confusions: tuple[Confusion, ...]
    """All wrong routes, the most frequent first."""
    overlaps: tuple[Overlap, ...]
    """Pairs of workers that are confused or close, those with the largest share first."""
    mean_lead: float | None
    """How far the best score is ahead of the second on average, where examples belong to a worker.

    Near 0 the classifier does not separate the workers. `None` without scores of at least two workers.
    """
    out_of_scope: int
    """Examples that belong to no worker."""
    out_of_scope_auroc: float | None
    """How well the classifier's best score separates examples that belong to a worker from those that belong to none.

    The area under the ROC curve: 0.5 is chance, 1 is perfect. `None` without a classifier, or without both kinds.
    """
    cost: float | None
    """What the wrong routes cost together, in the unit of `costs`; `None` where no costs were given."""

    @property
    def accuracy(self) -> float | None:
        """The part of the decided examples that is right, from 0 to 1; `None` without any."""
        return self.right / self.decided if self.decided else None

    @property
    def without_model(self) -> float:
        """The part of all examples that rules and the classifier decide, from 0 to 1."""
        return sum(one.share for one in self.rungs if one.rung in ("rule", "classifier"))

    def confusion_matrix(self) -> dict[str, dict[str, int]]:
        """Return how often each worker's examples were routed to each worker; `(none)` are those that have none."""
        rows: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for one in self.workers:
            if one.right:
                rows[one.worker][one.worker] = one.right
        for one in self.confusions:
            rows[one.expected or _OUT_OF_SCOPE][one.routed] = one.count
        return dict(rows)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON data, with the rates."""
        rungs = [{**to_json(one), "accuracy": one.accuracy} for one in self.rungs]
        workers = [{**to_json(one), "recall": one.recall, "precision": one.precision} for one in self.workers]
        more = {"accuracy": self.accuracy, "without_model": self.without_model}
        return {**to_json(self), "rungs": rungs, "workers": workers, **more}

    def __str__(self) -> str:
        low, high = wilson(self.right, self.decided)
        head = f"{self.examples} examples, {self.decided} decided: {_percent(self.accuracy)} right"
        lines = [f"{head} (95 % interval {low:.1%} to {high:.1%})", "", *in_columns(_rung_rows(self))]
        lines += ["", *in_columns(_worker_rows(self))]
        if self.confusions:
            wrong = [(one.expected or _OUT_OF_SCOPE, one.routed, str(one.count)) for one in self.confusions[:_SHOWN]]
            lines += ["", *in_columns([("belongs to", "routed to", "examples"), *wrong])]
        if self.overlaps:
            lines += ["", *in_columns(_overlap_rows(self))]
        if self.mean_lead is not None:
            lines += ["", f"the best score is ahead of the second by {self.mean_lead:.2f} on average"]
        if self.out_of_scope_auroc is not None:
            lines += [f"{self.out_of_scope} out of scope, AUROC of the best score {self.out_of_scope_auroc:.3f}"]
        if self.cost is not None:
            lines += [f"wrong routes cost {self.cost:,.2f}, {self.cost / max(self.decided, 1):,.4f} a request"]
        return "\n".join(lines)


def _rung_rows(report: RoutingReport) -> list[tuple[str, ...]]:
    rows = [(one.rung, str(one.count), f"{one.share:.1%}", _percent(one.accuracy)) for one in report.rungs]
    return [("rung", "examples", "share", "right"), *rows]


def _worker_rows(report: RoutingReport) -> list[tuple[str, ...]]:
    """Return the workers that the smallest part of their requests reaches."""
    weakest = sorted((one for one in report.workers if one.recall is not None), key=lambda one: one.recall or 0)
    rows = [(one.worker, str(one.examples), _percent(one.recall), _percent(one.precision)) for one in weakest[:_SHOWN]]
    return [("weakest workers", "examples", "recall", "precision"), *rows]


def _overlap_rows(report: RoutingReport) -> list[tuple[str, ...]]:
    rows = [
        (f"{one.first}, {one.second}", str(one.confused), str(one.close), f"{one.share:.1%}")
        for one in report.overlaps[:_SHOWN]
    ]
    return [("overlapping workers", "confused", "close", "share"), *rows]


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"
