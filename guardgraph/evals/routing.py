"""Evaluate how a router decides on examples; its workers are not run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any, NamedTuple, cast

from guardgraph.agents import Agent
from guardgraph.evals.auroc import auroc
from guardgraph.evals.routing_report import Confusion, Overlap, RoutingReport, RungSummary, WorkerSummary
from guardgraph.graphs import Rule, router
from guardgraph.nodes.decisions.route import Classifier, Ladder, decide_route
from guardgraph.nodes.decisions.route_request import call_within
from guardgraph.state import BadInput, RoutingDecision, RoutingRung, Task

__all__ = ("routing_report",)

_RUNGS: tuple[RoutingRung, ...] = ("rule", "classifier", "model", "fallback")


def routing_report(
    examples: Iterable[tuple[str, str | None]],
    *,
    workers: Sequence[str | Agent],
    fallback: str | Agent,
    rules: Sequence[Rule] = (),
    classifier: Classifier | None = None,
    model: Agent | None = None,
    threshold: float = 0.5,
    margin: float = 0.1,
    timeout: float | None = 5.0,
    costs: Mapping[str, float] | Mapping[tuple[str | None, str], float] | None = None,
    run_model: bool = False,
) -> RoutingReport:
    """Return how well a router with these settings decides on examples: pairs of a text and the name of its worker.

    An example with `None` belongs to no worker, and is right with the fallback worker. No worker is run. A `model` is
    called only with `run_model=True`, once for each example that rules and classifier leave open; else these examples
    are counted for the rung `model`, and are not decided. `costs` are what one wrong route costs, in any unit: by the
    worker that gets it wrongly, or by pairs of the worker it belongs to (or `None`) and the one that gets it; what is
    not listed costs nothing. Raises `BadInput` for examples and costs that do not fit, and `BadGraph` for settings
    that a router would refuse.
    """
    names = tuple(dict.fromkeys(one.name if isinstance(one, Agent) else one for one in (*workers, fallback)))
    last = fallback.name if isinstance(fallback, Agent) else fallback
    given = _checked_examples(examples, names)
    _check_costs(costs, names)
    ladder = Ladder(names, tuple(rules), classifier, threshold, margin, timeout)
    call = partial(call_within, timeout=timeout)
    routed = [_Routed(text, worker, decide_route(ladder, Task(goal=text), call=call), last) for text, worker in given]
    if model is not None and run_model:
        agents = {one.name: one for one in (*workers, fallback) if isinstance(one, Agent)}
        ask = _asking([agents.get(name, name) for name in names], last, ladder, model)
        routed = [one if one.decision.worker else one._replace(decision=ask(one.text)) for one in routed]
    is_open = model is not None and not run_model
    return _report(routed, names, ladder, costs=costs, is_open=is_open)


class _Routed(NamedTuple):
    """An example and what was decided about it."""

    text: str
    expected: str | None
    decision: RoutingDecision
    fallback: str

    @property
    def worker(self) -> str:
        return self.decision.worker or self.fallback

    @property
    def is_right(self) -> bool:
        return self.worker == (self.fallback if self.expected is None else self.expected)


def _report(
    routed: Sequence[_Routed],
    names: Sequence[str],
    ladder: Ladder,
    *,
    costs: Mapping[Any, float] | None,
    is_open: bool,
) -> RoutingReport:
    by_rung: dict[RoutingRung, list[_Routed]] = {rung: [] for rung in _RUNGS}
    for one in routed:
        undecided: RoutingRung = "model" if is_open else "fallback"
        by_rung[one.decision.rung if one.decision.worker else undecided].append(one)
    waiting = {id(one) for one in by_rung["model"]} if is_open else set[int]()
    decided = [one for one in routed if id(one) not in waiting]
    wrong = Counter((one.expected, one.worker) for one in decided if not one.is_right)
    scored = [(max(one.decision.scores.values()), one.expected is not None) for one in routed if one.decision.scores]
    return RoutingReport(
        examples=len(routed),
        decided=len(decided),
        right=sum(one.is_right for one in decided),
        rungs=tuple(
            RungSummary(
                rung=rung,
                count=len(ones),
                share=len(ones) / len(routed),
                right=None if rung == "model" and is_open else sum(one.is_right for one in ones),
            )
            for rung, ones in by_rung.items()
        ),
        workers=tuple(_worker_summary(name, decided) for name in names),
        confusions=tuple(Confusion(expected=a, routed=b, count=count) for (a, b), count in wrong.most_common()),
        overlaps=_overlaps(routed, ladder.margin),
        mean_lead=_mean_lead(routed),
        out_of_scope=sum(one.expected is None for one in routed),
        out_of_scope_auroc=auroc([s for s, is_in in scored if is_in], [s for s, is_in in scored if not is_in]),
        cost=None if costs is None else sum(count * _cost(costs, a, b) for (a, b), count in wrong.items()),
    )


def _worker_summary(name: str, decided: Sequence[_Routed]) -> WorkerSummary:
    return WorkerSummary(
        worker=name,
        examples=sum(one.expected == name for one in decided),
        routed=sum(one.worker == name for one in decided),
        right=sum(one.worker == name == one.expected for one in decided),
    )


def _top_two(one: _Routed) -> tuple[tuple[str, float], tuple[str, float]] | None:
    """Return the two best workers and their scores; `None` where the classifier has scored fewer."""
    first, second = [*one.decision.scores.items()][:2] if len(one.decision.scores) > 1 else (None, None)
    return None if first is None or second is None else (first, second)


def _overlaps(routed: Sequence[_Routed], margin: float) -> tuple[Overlap, ...]:
    """Return the pairs of workers of which the classifier takes one for the other, or scores both alike."""
    examples = Counter(one.expected for one in routed if one.expected is not None and one.decision.scores)
    confused, close = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    flagged: defaultdict[tuple[str, str], int] = defaultdict(int)
    for one in routed:
        top = _top_two(one)
        if top is None or one.expected is None:
            continue
        (best, high), (second, low) = top
        pairs = set[tuple[str, str]]()
        if best != one.expected:
            pairs.add(_pair(best, one.expected))
            confused[_pair(best, one.expected)] += 1
        if one.expected in (best, second) and high - low < margin:
            pairs.add(_pair(best, second))
            close[_pair(best, second)] += 1
        for pair in pairs:
            flagged[pair] += 1
    found = [
        Overlap(
            first=a, second=b, confused=confused[a, b], close=close[a, b], share=count / (examples[a] + examples[b])
        )
        for (a, b), count in flagged.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.share, one.first, one.second)))


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _mean_lead(routed: Sequence[_Routed]) -> float | None:
    tops = [top for one in routed if one.expected is not None and (top := _top_two(one)) is not None]
    return sum(first[1] - second[1] for first, second in tops) / len(tops) if tops else None


def _asking(
    workers: Sequence[Agent | str], fallback: str, ladder: Ladder, model: Agent
) -> Callable[[str], RoutingDecision]:
    """Return what asks the model in a router whose workers do nothing, and returns its last decision."""
    skills = [(one.name, one.skills) if isinstance(one, Agent) else (one, ()) for one in workers]
    agents = {name: Agent(name, run=lambda request: "routed", skills=able) for name, able in skills}
    graph = router(
        list(agents.values()),
        fallback=agents[fallback],
        rules=ladder.rules,
        classifier=ladder.classifier,
        model=model,
        threshold=ladder.threshold,
        margin=ladder.margin,
        timeout=ladder.timeout,
        guards=[],
    ).compile()

    def ask(text: str) -> RoutingDecision:
        state: Any = list(graph.stream({"task": {"goal": text}}, stream_mode="values"))[-1]
        return state["routing"][-1]

    return ask


def _checked_examples(examples: Iterable[object], names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the examples. Raises `BadInput` that names the first one that does not fit."""
    found: list[tuple[str, str | None]] = []
    for number, example in enumerate(examples):
        match example:
            case (str(text), str() | None as worker) if text.strip():
                found.append((text, worker))
            case _:
                what = "an example is a text that is not empty, and the name of a worker (or `None` for no worker)"
                raise BadInput(f"{what}; example {number} is {example!r:.100}")
        if worker is not None and worker not in names:
            known = ", ".join(map(repr, names))
            raise BadInput(f"example {number} belongs to {worker!r}, which is no worker; there are: {known}")
    if not found:
        raise BadInput("there are no examples to report on")
    return found


def _check_costs(costs: Mapping[Any, float] | None, names: Sequence[str]) -> None:
    """Raise `BadInput` for costs of unknown workers, and for costs that are negative or not finite."""
    for key, cost in (costs or {}).items():
        workers: tuple[object, ...] = cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)
        unknown = [one for one in workers if one is not None and one not in names]
        if unknown or len(workers) not in (1, 2) or workers[len(workers) - 1] is None:
            raise BadInput(f"`costs` has the key {key!r}: give a worker, or a pair of the right one and the wrong one")
        if (
            isinstance(cost, bool)
            or not isinstance(cast("object", cost), int | float)
            or not isfinite(cost)
            or cost < 0
        ):
            raise BadInput(f"`costs` of {key!r} must be a number that is not negative, got {cost!r}")


def _cost(costs: Mapping[Any, float], expected: str | None, routed: str) -> float:
    return float(costs.get((expected, routed), costs.get(routed, 0)))
