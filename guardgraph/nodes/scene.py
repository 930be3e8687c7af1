"""What a gate sees when it is reached: the state, the books, the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from langchain_core.runnables import RunnableConfig

from guardgraph.guards import Guard, Judgement, Reads, View, judge, name_of
from guardgraph.nodes.services import Services, here_of, services_of
from guardgraph.state import (
    Allowance,
    Amount,
    Balance,
    Gate,
    Position,
    Result,
    Usage,
    Verdict,
    add_counts,
    error_text,
    left_of,
    merge_open,
)

__all__ = ("Scene", "applied", "scene_of", "work_until")

_MAPPINGS = {"requests": merge_open, "visits": add_counts}
_COUNTS = ("tokens", "usd", "calls", "subtasks", "messages")


@dataclass(frozen=True, slots=True)
class Scene:
    """A gate's view of its team at one moment; read once per gate."""

    state: Mapping[str, Any]
    """The state of the team; `task` is the one that it works on."""
    gate: str
    """The name of the gate's node."""
    position: Position
    services: Services
    now: datetime
    allowance: Allowance
    """All that the team may spend, with what was added since; a `Request.allowance` shows what admission has given."""
    left: Allowance
    """What the team's workers may still spend."""
    spent: Usage

    @property
    def is_late(self) -> bool:
        """Whether the time for work is over; what is left of it is for concluding."""
        until = work_until(self.position)
        return until is not None and self.now >= until

    def judge(
        self,
        guards: Sequence[Guard],
        gate: Gate,
        subject: Any,
        *,
        left: Allowance | None = None,
        expects: Amount | None = None,
        deeper: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> Judgement:
        """Judge one subject, tell the listener of trips and alerts, and return what the guards say."""
        placed = [guard for guard in guards if gate in guard.gates]
        if not placed:
            return Judgement(None, None)
        view = View(
            gate=gate,
            subject=subject,
            now=self.now,
            state=self.state if state is None else state,
            allowance=self.allowance,
            left=self.left if left is None else left,
            spent=self.spent,
            expects=expects,
            depth=self.position.depth + deeper,
            path=self.position.path,
        )
        judgement = _judged(placed, view)
        for verdict in _shown(judgement):
            self.services.tell("verdict", self.position, **verdict.model_dump(mode="json", exclude_defaults=True))
        return judgement


def work_until(team: Position) -> datetime | None:
    """Return when agents have to be back: a tenth (at most 10 s) before the deadline, so that the team can conclude."""
    deadline = team.allowance.deadline
    return None if deadline is None else deadline - min(timedelta(seconds=10), (deadline - team.started) / 10)


def scene_of(state: Mapping[str, Any], config: RunnableConfig | None) -> Scene:
    """Return what a gate of the team sees now."""
    given = state["position"]
    position = given if isinstance(given, Position) else Position.model_validate(given)
    here = here_of(config)
    services = services_of(here, position.run_id)
    services.ensure_open(position)
    if here is None:
        services.recall(position, (*(state.get("results") or ()), *(state.get("plans") or ()), *_drafts(state)))
    balances = services.ledger.balances(position.work)
    return Scene(
        state={**state, "task": state.get("admitted")},
        gate=str(((config or {}).get("metadata") or {}).get("langgraph_node", "gate")),
        position=position,
        services=services,
        now=services.clock(),
        allowance=_allowance(position, balances),
        left=left_of(balances).narrow(position.allowance.model_copy(update=dict.fromkeys(_COUNTS))),
        spent=services.ledger.usage(position.account),
    )


def applied(state: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state as it will be once a gate's update is written: lists are appended to, mappings joined."""
    merged = {key: _MAPPINGS[key](state.get(key), new) for key, new in update.items() if key in _MAPPINGS}
    lists = {key: [*(state.get(key) or ()), *new] for key, new in update.items() if isinstance(new, list)}
    return {**state, **update, **lists, **merged}


def _drafts(state: Mapping[str, Any]) -> tuple[Result, ...]:
    draft: Result | None = state.get("draft")
    return () if draft is None else (draft,)


def _allowance(position: Position, balances: tuple[Balance, ...]) -> Allowance:
    """Return the team's allowance with the caps of its account, which may have been raised since admission."""
    mine = next((balance.cap for balance in balances if balance.account == position.account), None)
    if mine is None:
        return position.allowance
    return position.allowance.model_copy(update={name: getattr(mine, name) for name in _COUNTS})


def _judged(guards: Sequence[Guard], view: View) -> Judgement:
    """Ask the guards one after the other, each with the sources that it reads itself; the first trip ends it."""
    alerts: list[Verdict] = []
    for guard in guards:
        if isinstance(view.subject, Result) and isinstance(guard, Reads):
            try:
                said = judge([guard], replace(view, sources=_sources(guard, view.subject)))
            except (Exception, SystemExit) as error:  # what cannot be read must not let pass
                reason = f"guard {name_of(guard)!r} could not read its sources: {error_text(error)}"
                said = Judgement(view.verdict(guard, trips=True, reason=reason), guard.on_trip)
        else:
            said = judge([guard], view)
        alerts.extend(said.alerts)
        if said.trip is not None:
            return Judgement(said.trip, said.on_trip, tuple(alerts))
    return Judgement(None, None, tuple(alerts))


def _sources(reader: Reads, result: Result) -> dict[str, str]:
    """Read, for a guard that judges by them, the sources that a result names."""
    found: dict[str, str] = {}
    for evidence in result.evidence:
        text = None if evidence.source in found else reader.read(evidence)
        if text is not None:
            found[evidence.source] = text
    return found


def _shown(judgement: Judgement) -> tuple[Verdict, ...]:
    return (*judgement.alerts, *((judgement.trip,) if judgement.trip else ()))
