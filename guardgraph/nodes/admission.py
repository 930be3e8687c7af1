"""The way in: what was asked is checked, and the team gets its position and its allowance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Overwrite
from pydantic import TypeAdapter, ValidationError

from guardgraph.guards import Guard, GuardContext, allowance_or_trip
from guardgraph.nodes.gate import settled
from guardgraph.nodes.gate_context import GateContext, Route
from guardgraph.nodes.messages import asked_in
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.runtime.execution_context import ExecutionContext, execution_context
from guardgraph.state import Allowance, BadInput, ContextItem, DelegationScope, RunState, Task, new_id, validation_text

__all__ = ("ADMISSION", "admission", "task_of")

ADMISSION = "guard_admission"
"""The node in which every run of a team begins."""

_LISTS = ("results", "accepted", "refused", "gaps", "verdicts", "plans", "subtasks", "passed")
_MAPPINGS = ("requests", "visits")
_RESERVE = "reserve"
_ITEMS = TypeAdapter(list[ContextItem])


def task_of(asked: object) -> Task:
    """Return what was asked as a task. Raises `BadInput`, naming every field that does not fit."""
    if isinstance(asked, Task):
        return asked
    if isinstance(asked, str):
        asked = {"goal": asked}
    if asked is None:
        raise BadInput('no task: pass {"task": "what is to be done"}, {"task": {"goal": "…"}} or {"messages": […]}')
    if not isinstance(asked, Mapping):
        raise BadInput(f"a task is a text, a Task or a mapping of its fields, got {type(asked).__name__}")
    try:
        return Task.model_validate(dict(asked))
    except ValidationError as error:
        faults, known = validation_text(error, whole="task"), ", ".join(Task.model_fields)
        raise BadInput(f"the task does not fit: {faults}; its fields are {known}") from error


def admission(team: TeamSpec, *, begin: Route, goes: Collection[str]) -> Callable[..., Any]:
    """Return the node `guard_admission` of a team.

    It validates the task, mints the run id, narrows the allowance, resets all that belongs to one run, and asks the
    guards of `admission`. Then it goes where `begin` says, to a node of `goes`, or to the end.
    """

    def guard_admission(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        here = execution_context(config)
        try:
            asked = asked_in(state)
            task = task_of(asked.task)
            given = [piece for piece in _background(state.get("background")) if piece not in asked.background]
        except BadInput as error:  # raised at the exit, so that the thread forgets what does not fit
            return Command(update=_unfit(state, error), goto=EXIT)
        now = here.services.clock() if here else datetime.now(UTC)
        position, unable = _position(team, here, now, task)
        # What was given is for this run alone: the next one on the thread does not find it any more.
        fresh: dict[str, Any] = {
            "task": None,
            "background": None,
            "admitted": task,
            "position": position,
            "context": [*given, *asked.background],
            "round": 1,
            "seen": asked.seen,
        }
        steps = {name: state[name] for name in ("remaining_steps",) if state.get(name) is not None}
        empty: dict[str, Any] = {**{name: [] for name in _LISTS}, **{name: {} for name in _MAPPINGS}}
        own = {name: value for name, value in state.items() if name not in RunState.__annotations__}
        gate = GateContext(team, ADMISSION, {**own, **steps, **empty, **fresh}, config)
        gate.note(visits={ADMISSION: 1})
        way = _admitted(gate, begin, goes, unable)
        return Command(update=_afresh(fresh, way.update), goto=way.goto)

    return guard_admission


def _admitted(gate: GateContext, begin: Route, goes: Collection[str], unable: Sequence[Guard]) -> Command[Any]:
    """Return where a task leads that was asked: on, or to the end."""
    judgement = gate.judge("admission", gate.task, [*unable, *gate.team.guards])
    gate.note(verdicts=[*judgement.verdicts])
    ending = judgement.ending(otherwise="failed")
    return settled(gate, begin if ending is None else lambda here: here.end(ending), goes=goes)


def _unfit(state: Mapping[str, Any], error: BadInput) -> dict[str, Any]:
    """Return the update that takes an input which does not fit out of the thread."""
    messages = state.get("messages") or ()
    seen = [str(message.id) for message in messages if getattr(message, "id", None)]
    gone = dict.fromkeys(("admitted", "plan", "draft", "ending", "outcome"))
    return {**gone, "task": None, "background": None, "context": [], "seen": seen, "unfit": str(error)}


def _afresh(fresh: Mapping[str, Any], update: Any) -> dict[str, Any]:
    """Return the first update of a run: what an earlier run on the thread has left is gone."""
    written = {**fresh, **dict.fromkeys(("plan", "draft", "ending", "outcome", "unfit")), **update}
    written.pop("remaining_steps", None)
    lists = {name: Overwrite(written.get(name) or []) for name in _LISTS}
    return {**written, **lists, **{name: Overwrite(written.get(name) or {}) for name in _MAPPINGS}}


def _background(given: Any) -> list[ContextItem]:
    if given is None:
        return []
    try:
        return _ITEMS.validate_python(given)
    except ValidationError as error:
        raise BadInput(
            f"`background` is a list of pieces, and does not fit: {validation_text(error, whole='background')}; "
            f"the fields of a piece are {', '.join(ContextItem.model_fields)}"
        ) from error


def _position(
    team: TeamSpec, here: ExecutionContext | None, now: datetime, task: Task
) -> tuple[DelegationScope, list[Guard]]:
    """Return where the team stands, and guards that trip in place of those that could not narrow its allowance."""
    above = here.position if here else None
    inherited = above.allowance if above else Allowance()
    depth = above.depth if above else 0
    view = GuardContext(gate="admission", subject=task, now=now, allowance=inherited, depth=depth)
    allowance, reserve, unable = inherited, 0.0, list[Guard]()
    for guard in team.guards:
        limits = allowance_or_trip(guard, view)
        if not isinstance(limits, Allowance):
            unable.append(limits)
            continue
        narrower = allowance.narrow(limits)
        # The reserve belongs to the account that is made narrower; what is merely inherited keeps one already.
        if getattr(guard, _RESERVE, 0) and narrower.is_metered and not allowance.within(narrower):
            reserve = float(getattr(guard, _RESERVE))
        allowance = narrower
    run_id = above.run_id if above else (here.run_id if here and here.run_id else new_id())
    account = f"{above.account}/{quote(team.name, safe='')}-{new_id()[:8]}" if above else run_id
    position = DelegationScope(
        run_id=run_id,
        account=account,
        spending_account=f"{account}/work" if reserve else account,
        path=above.path if above else (team.name,),
        depth=depth,
        allowance=allowance,
        reserve=reserve,
        started=now,
    )
    return position, unable
