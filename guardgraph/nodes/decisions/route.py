"""Decide which worker gets a request: rules, then a classifier; a model's answer is read here too. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from threading import TIMEOUT_MAX
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from guardgraph.nodes.decisions.rule import Rule, match_rules
from guardgraph.state import BadGraph, BadInput, FrozenModel, RoutingDecision, Task, error_text, validation_text
from guardgraph.state.argument_checks import check_fields

__all__ = (
    "Classifier",
    "Ladder",
    "RouteChoice",
    "ScoreDecision",
    "checked_scores",
    "decide_by_scores",
    "decide_route",
    "read_choice",
)

Classifier: TypeAlias = Callable[[str], Mapping[str, float]]
"""Scores a text by worker, each from 0 to 1. It may also have `labels` (the workers that it knows, checked when a
router is built) and `top_features(text, label)` (the terms that drove a score, with their weights)."""

_T = TypeVar("_T")
_MOST_SCORES = 10
_ROUNDING = 1e-9
"""By how much a difference of two scores may be too small: 0.6 - 0.5 is less than 0.1 in floating point."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs of a router that need no model, from the first to the last. Raises `BadGraph` for what does not fit."""

    workers: tuple[str, ...]
    """The names of all workers, the fallback worker included."""
    rules: tuple[Rule, ...] = ()
    """Tried in their order; the first that matches decides."""
    classifier: Classifier | None = None
    """Asked where no rule matches."""
    threshold: float = 0.5
    """The classifier abstains where its best score (0 to 1) is less."""
    margin: float = 0.1
    """It abstains where its best score is not ahead of the second by this much (0 to 1)."""
    timeout: float | None = 5.0
    """Seconds that predicates together, and the classifier, may take; `None` sets no limit."""

    def __post_init__(self) -> None:
        check_fields(self, "threshold", "margin", "timeout", owner="router")
        problem = next(iter(_problems(self)), None)
        if problem is not None:
            raise BadGraph(f"router: {problem}")


class RouteChoice(FrozenModel):
    """A model's answer to the question which worker should get a request."""

    worker: str | None
    """The name of the worker; `None` where none of them fits."""
    reason: str = ""
    """Why, in one sentence."""
    confidence: float | None = None
    """How sure it is, from 0 to 1."""


class ScoreDecision(NamedTuple):
    """What scores decide."""

    worker: str | None
    """`None` where the classifier abstains."""
    best: str
    reason: str


def decide_route(
    ladder: Ladder, task: Task, *, call: Callable[[Callable[[], _T]], _T] = lambda work: work()
) -> RoutingDecision:
    """Return what the first rung decides that does decide; its `worker` is `None` where both abstain.

    `call` calls the user's own code (predicates, the classifier), and may bound its time: what it raises is recorded as
    a problem, and the next rung is tried.
    """
    match, problems = _match(ladder, task, call)
    if match is not None:
        name, text = match.rule.name, match.text
        reason = f"rule {name!r} matched" + (f" {text!r}" if text else "")
        return RoutingDecision(
            worker=match.rule.worker,
            rung="rule",
            reason=reason,
            rule=name,
            matched=text,
            problems=problems,
            trusted=True,
        )
    classifier = ladder.classifier
    if classifier is None:
        return RoutingDecision(rung="rule", reason="no rule matched", problems=problems, trusted=True)

    def classify() -> tuple[dict[str, float], dict[str, float], str | None]:
        scores = checked_scores(classifier(task.goal), ladder.workers)
        return (scores, *_terms(classifier, task.goal, scores))

    try:
        scores, terms, fault = cast("Any", call)(classify)
    except GraphBubbleUp:
        raise
    except (Exception, SystemExit) as error:
        problem = str(error) if isinstance(error, BadInput) else f"the classifier raised {error_text(error)}"
        return RoutingDecision(
            rung="classifier",
            reason="the classifier could not be used",
            problems=(*problems, problem),
            trusted=True,
        )
    if fault is not None:
        problems = (*problems, fault)
    found = decide_by_scores(scores, threshold=ladder.threshold, margin=ladder.margin)
    highest = sorted(scores.items(), key=lambda item: -item[1])[:_MOST_SCORES]
    return RoutingDecision(
        worker=found.worker,
        rung="classifier",
        reason=found.reason,
        scores=dict(highest),
        terms=terms,
        confidence=scores[found.best],
        problems=problems,
        trusted=True,
    )


def decide_by_scores(scores: Mapping[str, float], *, threshold: float, margin: float) -> ScoreDecision:
    """Return the worker with the best score, unless it is below `threshold` or too close to the second best.

    Of equal scores the first is the best. `scores` must not be empty.
    """
    (best, top), *others = sorted(scores.items(), key=lambda item: -item[1])[:2]
    second, lead = (others[0][0], top - others[0][1]) if others else ("", top)
    if top < threshold - _ROUNDING:
        return ScoreDecision(None, best, f"the best score, {top:.2f} for {best!r}, is below the threshold {threshold}")
    if others and lead < margin - _ROUNDING:
        close = f"{best!r} and {second!r} are too close: {top:.2f} and {others[0][1]:.2f}, the margin is {margin}"
        return ScoreDecision(None, best, close)
    return ScoreDecision(best, best, f"the classifier scores {best!r} with {top:.2f}")


def checked_scores(answer: object, workers: Collection[str]) -> dict[str, float]:
    """Return the scores that a classifier has answered.

    Raises `BadInput` that gives the reason where they cannot be used.
    """
    if not isinstance(answer, Mapping) or not answer:
        raise BadInput(f"the classifier returned a {type(answer).__name__}, which is no mapping of workers to scores")
    scores: dict[str, float] = {}
    for worker, score in cast("Mapping[object, object]", answer).items():
        if worker not in workers:
            known = ", ".join(map(repr, workers))
            raise BadInput(f"the classifier scores {worker!r:.80}, which is no worker; there are: {known}")
        try:
            value = math.nan if isinstance(score, bool | str | bytes) else float(cast("Any", score))
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not 0 <= value <= 1:  # also for NaN
            raise BadInput(f"the classifier scores {worker!r} with {score!r:.80}, which is no number from 0 to 1")
        scores[cast("str", worker)] = value
    return scores


def read_choice(answer: object, workers: Collection[str]) -> RouteChoice:
    """Return the choice that a model or a function has answered: a `RouteChoice`, its fields, or a worker's name.

    `None` is the choice of no worker.
    Raises `BadInput` that gives the reason where it cannot be used.
    """
    given = {"worker": answer} if answer is None or isinstance(answer, str) else answer
    try:
        choice = RouteChoice.model_validate(given)
    except ValidationError as error:
        raise BadInput(f"this is no choice of a worker: {validation_text(error, whole='choice')}") from error
    if choice.worker is not None and choice.worker not in workers:
        raise BadInput(f"{choice.worker!r:.80} is no worker; choose one of {', '.join(map(repr, workers))}")
    sure = choice.confidence
    return choice if sure is None or 0 <= sure <= 1 else choice.model_copy(update={"confidence": None})


def _match(ladder: Ladder, task: Task, call: Callable[[Callable[[], Any]], Any]) -> Any:
    """Return the first rule that matches, and what failed before it."""
    if not any(rule.is_own_code for rule in ladder.rules):
        return match_rules(ladder.rules, task)
    try:
        return call(lambda: match_rules(ladder.rules, task))
    except GraphBubbleUp:
        raise
    except Exception as error:  # what `call` raises where the rules take too long
        return None, (f"the rules could not be tried: {error_text(error, named=False)}",)


def _terms(classifier: object, text: str, scores: Mapping[str, float]) -> tuple[dict[str, float], str | None]:
    """Return the terms that contributed most for the best worker, or why the classifier cannot name them."""
    explain: Any = getattr(classifier, "top_features", None)
    if explain is None:
        return {}, None
    try:
        found = explain(text, max(scores, key=scores.__getitem__))
        return {str(term): float(weight) for term, weight in dict(found).items()}, None
    except GraphBubbleUp:
        raise
    except Exception as error:
        return {}, f"`top_features` of the classifier raised {error_text(error)}"


def _problems(ladder: Ladder) -> Iterable[str]:
    """Yield what is wrong with a ladder."""
    known = ", ".join(map(repr, ladder.workers))
    for rule in ladder.rules:
        if rule.worker not in ladder.workers:
            yield f"rule {rule.name!r} names the worker {rule.worker!r}, which is unknown; there are: {known}"
    twice = [name for name, count in Counter(rule.name for rule in ladder.rules).items() if count > 1]
    if twice:
        yield f"the names of rules must be unique, these are used twice: {', '.join(map(repr, twice))}; give `name=`"
    for name in ("threshold", "margin"):
        value = getattr(ladder, name)
        if not 0 <= value <= 1:  # also for NaN
            yield f"`{name}` must be from 0 to 1, got {value!r}"
    if ladder.timeout is not None and not 0 < ladder.timeout <= TIMEOUT_MAX:
        yield f"`timeout` must be more than 0 seconds and finite, got {ladder.timeout!r}"
    yield from _classifier_problems(ladder.classifier, ladder.workers, known)


def _classifier_problems(classifier: object, workers: Collection[str], known: str) -> Iterable[str]:
    if classifier is None:
        return
    called = vars(type(classifier)).get("__call__")
    if isinstance(classifier, type) or not callable(classifier):
        yield f"`classifier` must be a function of a text that returns scores by worker, got {classifier!r:.80}"
    elif iscoroutinefunction(classifier) or iscoroutinefunction(called):
        yield f"`classifier` must not be async, got {classifier!r:.80}; what calls a model belongs into `model=`"
    labels: Any = getattr(classifier, "labels", None)
    unknown = [label for label in labels if label not in workers] if isinstance(labels, tuple | list) else []
    if unknown:
        yield f"the classifier scores {unknown[0]!r}, which is no worker; there are: {known}"
