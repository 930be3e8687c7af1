"""The way in: what was asked is checked, and the team gets its position and its allowance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Overwrite, Send
from pydantic import TypeAdapter, ValidationError

from guardgraph.guards import Guard, View, narrowed
from guardgraph.nodes.scene import scene_of
from guardgraph.nodes.services import Here, here_of
from guardgraph.state import Allowance, BadInput, Piece, Position, Task, new_id

__all__ = ("Route", "admission", "task_of")

_LISTS = ("results", "accepted", "refused", "gaps", "verdicts", "plans", "subtasks")
_RESERVE = "reserve"

Route = Callable[[Mapping[str, Any]], str | list[Send]]


def task_of(asked: object) -> Task:
    """Return what was asked as a task. Raises `BadInput`, naming every field that does not fit."""
    if isinstance(asked, Task):
        return asked
    if isinstance(asked, str):
        asked = {"goal": asked}
    if asked is None:
        raise BadInput('no task: pass {"task": "what is to be done"} or {"task": {"goal": "…"}}')
    if not isinstance(asked, Mapping):
        raise BadInput(f"a task is a text, a Task or a mapping of its fields, got {type(asked).__name__}")
    try:
        return Task.model_validate(dict(asked))
    except ValidationError as error:
        raise BadInput(
            f"the task does not fit: {_told(error, 'task')}; its fields are {', '.join(Task.model_fields)}"
        ) from error


def admission(guards: Sequence[Guard], *, team: str, begin: Route, stop: str = "conclude") -> Callable[..., Any]:
    """Return the node `guard_admission` of a team.

    It validates the task, mints the run id, narrows the allowance, resets all that belongs to one run, and asks the
    guards of `admission`. Then it goes where `begin` says, or to `stop`.
    """

    def guard_admission(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        task, here = task_of(state.get("task")), here_of(config)
        now = here.services.clock() if here else datetime.now(UTC)
        background = _background(state.get("background"))
        position, unable = _position(team, guards, here, now, task)
        fresh: dict[str, Any] = {"task": task, "position": position, "background": background, "round": 1}
        scene = scene_of(fresh, config)
        judgement = scene.judge([*unable, *guards], "admission", task)
        verdicts = [*judgement.alerts, *((judgement.trip,) if judgement.trip else ())]
        update = {
            **dict.fromkeys(_LISTS, Overwrite([])),
            **fresh,
            **dict.fromkeys(("plan", "draft", "ending", "outcome")),
            "verdicts": Overwrite(verdicts),
        }
        if judgement.trip is None:
            return Command(update=update, goto=begin(fresh))
        return Command(update={**update, "ending": judgement.ending(otherwise="failed")}, goto=stop)

    return guard_admission


def _background(given: Any) -> list[Piece]:
    try:
        return TypeAdapter(list[Piece]).validate_python([] if given is None else given)
    except ValidationError as error:
        raise BadInput(
            f"`background` is a list of pieces, and does not fit: {_told(error, 'background')}; "
            f"the fields of a piece are {', '.join(Piece.model_fields)}"
        ) from error


def _told(error: ValidationError, whole: str) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}" for fault in error.errors())


def _position(
    team: str, guards: Sequence[Guard], here: Here | None, now: datetime, task: Task
) -> tuple[Position, list[Guard]]:
    """Return where the team stands, and guards that trip in place of those that could not narrow its allowance."""
    above = here.position if here else None
    inherited = above.allowance if above else Allowance()
    depth = above.depth if above else 0
    view = View(gate="admission", subject=task, now=now, allowance=inherited, depth=depth)
    allowance, reserve, unable = inherited, 0.0, list[Guard]()
    for guard in guards:
        limits = narrowed(guard, view)
        if not isinstance(limits, Allowance):
            unable.append(limits)
            continue
        narrower = allowance.narrow(limits)
        # The reserve belongs to the account that is made narrower; what is merely inherited keeps one already.
        if getattr(guard, _RESERVE, 0) and narrower.is_metered and not allowance.within(narrower):
            reserve = float(getattr(guard, _RESERVE))
        allowance = narrower
    run_id = above.run_id if above else (here.run_id if here and here.run_id else new_id())
    account = f"{above.account}/{quote(team, safe='')}-{new_id()[:8]}" if above else run_id
    position = Position(
        run_id=run_id,
        account=account,
        work=f"{account}/work" if reserve else account,
        path=above.path if above else (team,),
        depth=depth,
        allowance=allowance,
        reserve=reserve,
        started=now,
    )
    return position, unable
