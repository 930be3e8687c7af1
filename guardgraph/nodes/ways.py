"""Where a gate leads: every way is checked, and nothing goes on once something ends the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from langgraph.errors import GraphDrained, GraphInterrupt
from langgraph.types import Command, Send

from guardgraph.guards import Convergence, Guard, Limits
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send
from guardgraph.nodes.route_answer import RouteAnswer, read_answer
from guardgraph.nodes.scene import Scene, applied
from guardgraph.state import Ending, Gap, PatternError, StorageError, Verdict, error_place, error_text

__all__ = (
    "Then",
    "Ways",
    "early_stop",
    "last_round",
    "note_stop",
    "to_the_end",
    "too_few_steps",
    "too_many_visits",
)

Then: TypeAlias = "Callable[[Scene], str | list[Send] | Command[Any]]"
"""Where to go from a gate: a node, what to send, or a `Command` that also updates the state."""

_WORK = 2
"""Supersteps of one more attempt: the agent, and the gate behind it."""
_STEPS = {"conclude": 1, "guard_exit": 2}
"""Supersteps from a node to the end."""
_CONCLUDE = RouteAnswer("conclude", ("conclude",), {})


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways on from a gate of a team, and what keeps a run from going on for ever."""

    guards: Sequence[Guard]
    goes: frozenset[str]
    """The nodes in which work goes on."""
    author: Agent | None = None
    """Who writes the value of the team: it is asked when work has ended."""
    agents: frozenset[str] = frozenset()
    """Those of `goes` that are known to be agents: what is sent to them has to be a request."""

    def take(
        self,
        scene: Scene,
        update: Mapping[str, Any],
        route: Then,
        *,
        lost: Iterable[Gap] = (),
        stop: Ending | None = None,
        handoffs: Mapping[str, Sequence[str]] | None = None,
        free: bool = False,
    ) -> Command[Any]:
        """Return a gate's update, and where `route` says to go from the state as the update leaves it.

        Where nothing may go on any more (`stop`, or else `early_stop`) the run ends, and what is `lost` with that is a
        gap. An answer that leads nowhere ends it as failed. Of an agent that wanted to hand over the task (`handoffs`)
        nothing is missing where `route` sends to whom it named. What is `free` needs no allowance. Raises
        `PatternError` where `route` raises.
        """
        update = {**update, "visits": {scene.gate: 1}}
        after = replace(scene, state=applied(scene.state, update))
        answer = self._read(scene.gate, lambda: route(after))
        if isinstance(answer, Ending):
            return _joined({**update, "ending": answer}, _CONCLUDE)
        if answer.nodes == ("conclude",):
            return _joined(update, answer)
        steps = max(map(self._steps_to, answer.nodes))
        goes_on = not self.ends.intersection(answer.nodes)
        coming = replace(after, state=applied(after.state, answer.update))
        ending = (stop or early_stop(coming, self.guards, steps=steps, free=free)) if goes_on else None
        ending = ending or too_few_steps(after, steps)
        if ending is not None:
            return self.stop(scene, update, ending, lost=lost)
        taken = {agent for agent, names in (handoffs or {}).items() if not set(names).isdisjoint(answer.nodes)}
        gaps = {"gaps": [gap for gap in update["gaps"] if gap.agent not in taken]} if taken else {}
        return _joined({**update, **gaps}, answer)

    def stop(
        self, scene: Scene, update: Mapping[str, Any], ending: Ending, *, lost: Iterable[Gap] = ()
    ) -> Command[Any]:
        """Do as `end`, and note the stop as a verdict: no guard of the gate has told it."""
        verdicts = {"verdicts": [*(update.get("verdicts") or ()), note_stop(scene, ending)]}
        return self.end(scene, {**update, **verdicts}, ending, lost=lost)

    def end(self, scene: Scene, update: Mapping[str, Any], ending: Ending, *, lost: Iterable[Gap] = ()) -> Command[Any]:
        """Return a gate's update, and the way to the end of a run that is stopped."""
        stopped: dict[str, Any] = {**update, "ending": ending, "gaps": [*(update.get("gaps") or ()), *lost]}
        return Command(update=stopped, goto=to_the_end(applied(scene.state, stopped), self.author))

    @property
    def ends(self) -> frozenset[str]:
        """The nodes in which a run ends."""
        return frozenset(["conclude", *_names(self.author), *self.goes.intersection(_STEPS)])

    @property
    def closing(self) -> int:
        """Supersteps from the last gate to the end: the author if there is one, `guard_exit` and `conclude`."""
        return 3 if self.author is not None else 2

    @property
    def steps_of_work(self) -> int:
        """Supersteps of one more attempt and of the way to the end behind it."""
        return _WORK + self.closing

    def _steps_to(self, node: str) -> int:
        return _STEPS.get(node) or (self.closing if node in self.ends else self.steps_of_work)

    def _read(self, gate: str, route: Callable[[], Any]) -> RouteAnswer | Ending:
        """Return what a route answers, or what ends the run where that leads nowhere."""
        agents = self.agents.union(_names(self.author))
        answer = read_answer(_ask(gate, route), goes=self.goes, ends=self.ends, agents=agents)
        return Ending(status="failed", reason=f"the route of {gate!r} {answer}") if isinstance(answer, str) else answer


def note_stop(scene: Scene, ending: Ending) -> Verdict:
    """Return the verdict that a run is stopped at this gate, and tell the listener."""
    verdict = Verdict(
        guard=ending.stopped_by or "pattern", gate="dispatch", subject=scene.gate, action="trip", reason=ending.reason
    )
    scene.services.tell("verdict", scene.position, **verdict.model_dump(mode="json", exclude_defaults=True))
    return verdict


def early_stop(scene: Scene, guards: Sequence[Guard], *, steps: int, free: bool = False) -> Ending | None:
    """Return what ends a run that would go on from here: time, budget, rounds, visits, or LangGraph's own limit.

    `steps` is how many supersteps it needs to go on and to conclude after that; what is `free` needs no allowance.
    """
    if scene.is_late:
        return Ending(status="degraded", stopped_by="Deadline", reason="the time for work is over")
    for what in () if free else ("tokens", "usd", "calls"):
        left = getattr(scene.left, what)
        if left is not None and left <= 0:
            return Ending(status="degraded", stopped_by="Budget", reason=f"no {what} left")
    rounds, number = last_round(guards), scene.state.get("round") or 1
    if rounds is not None and number > rounds:
        return Ending(
            status="degraded",
            stopped_by="Convergence",
            reason=f"round {number} would be one too many: {rounds} allowed",
        )
    return too_many_visits(scene, guards) or too_few_steps(scene, steps)


def too_many_visits(scene: Scene, guards: Iterable[Guard]) -> Ending | None:
    """Return what ends a run that has reached this gate as often as it may."""
    visits = min((guard.visits for guard in guards if isinstance(guard, Limits)), default=Limits().visits)
    visited = (scene.state.get("visits") or {}).get(scene.gate, 0)
    if scene.gate == "guard_admission" or visited < visits + _planned_attempts(scene.state):
        return None
    reason = f"{scene.gate!r} was reached {visits:,} times; `Limits(visits=…)` allows more"
    return Ending(status="degraded", stopped_by="Limits", reason=reason)


def _planned_attempts(state: Mapping[str, Any]) -> int:
    planned = {subtask.id for subtask in state.get("subtasks") or ()}
    if not planned:
        return 0
    results = (result for result in state.get("results") or () if result.subtask in planned)
    return len({(result.subtask, result.attempt) for result in results})


def too_few_steps(scene: Scene, steps: int) -> Ending | None:
    """Return what ends a run of which LangGraph would run no further `steps`."""
    left = scene.state.get("remaining_steps")
    if left is None or left > steps:
        return None
    reason = f"LangGraph's `recursion_limit` leaves {left} more supersteps, too few to go on and to conclude"
    return Ending(status="degraded", stopped_by="recursion_limit", reason=reason)


def last_round(guards: Iterable[Guard]) -> int | None:
    """Return the number of the last round that is allowed; `None` where any is."""
    return min((guard.rounds for guard in guards if isinstance(guard, Convergence)), default=None)


def to_the_end(state: Mapping[str, Any], author: Agent | None) -> str | list[Send]:
    """Return where a run goes whose work has ended: to its author, if there is something to write and time for it."""
    ending = state.get("ending")
    idle = not state.get("accepted") and (state.get("gaps") or ending is not None)
    ended = ending is not None and ending.status != "degraded"
    steps = state.get("remaining_steps")
    if author is None or idle or ended or (steps is not None and steps <= 3):
        return "conclude"
    return [send(author, state)]


def _names(agent: Agent | None) -> list[str]:
    return [member.name for member in agent.line] if agent is not None else []


def _ask(gate: str, route: Callable[[], Any]) -> Any:
    try:
        return route()
    except (GraphInterrupt, GraphDrained, StorageError, PatternError):  # a question, a stop, a fault of the storage
        raise
    except (Exception, SystemExit) as error:
        what = f"the route of {gate!r} raised {error_text(error)} ({error_place(error)})"
        raise PatternError(what, node=gate) from error


def _joined(update: Mapping[str, Any], answer: RouteAnswer) -> Command[Any]:
    """Return one command of a gate's update and a route's answer."""
    more = answer.update
    both = {key: [*update[key], *more[key]] for key in more.keys() & update.keys() if isinstance(more[key], list)}
    return Command(update={**update, **more, **both}, goto=answer.goto)
