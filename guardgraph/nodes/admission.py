"""The admission gate: the input is checked, and the team gets its position in the tree and its allowance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Overwrite
from pydantic import TypeAdapter, ValidationError

from guardgraph.guards import Guard, GuardContext, allowance_or_trip, applying, side_budgets
from guardgraph.nodes.chain import team_link
from guardgraph.nodes.downgrading import account_steps
from guardgraph.nodes.gate import run_route
from guardgraph.nodes.gate_context import GateContext, Route
from guardgraph.nodes.messages import run_input
from guardgraph.nodes.team_spec import EXIT, TeamSpec, nested_team
from guardgraph.runtime.execution_context import ExecutionContext, execution_context
from guardgraph.state import (
    Allowance,
    Attachment,
    BadInput,
    ContextItem,
    DelegationScope,
    RunState,
    SideBudget,
    Task,
    missing_content,
    new_id,
    validation_text,
    without_content,
)

__all__ = ("ADMISSION", "admission", "task_of")

ADMISSION = "guard_admission"
"""The node in which every run of a team begins."""

_EMPTY: Mapping[str, type[Any]] = {
    **dict.fromkeys(
        (
            "results",
            "accepted",
            "refused",
            "gaps",
            "verdicts",
            "plans",
            "reviews",
            "subtasks",
            "passed",
            "trusted_subtasks",
        ),
        list,
    ),
    **dict.fromkeys(("requests", "visits"), dict),
}
"""The channels that grow in a run, and with what type of value they begin."""
_UNSET = ("plan", "draft", "ending", "outcome")
_ITEMS = TypeAdapter(list[ContextItem])


def task_of(given: object) -> Task:
    """Return what was given as a task. Raises `BadInput`, naming every field that does not fit."""
    if isinstance(given, Task):
        return given
    if given is None:
        raise BadInput('no task: pass {"task": "what is to be done"}, {"task": {"goal": "…"}} or {"messages": […]}')
    fields = {"goal": given} if isinstance(given, str) else given
    if not isinstance(fields, Mapping):
        raise BadInput(f"a task is a text, a Task or a mapping of its fields, got {type(given).__name__}")
    try:
        return Task.model_validate(dict(fields))
    except ValidationError as error:
        faults, known = validation_text(error, whole="task"), ", ".join(Task.model_fields)
        raise BadInput(f"the task does not fit: {faults}; its fields are {known}") from error


def admission(team: TeamSpec, *, entry: Route, destinations: Collection[str]) -> Callable[..., Any]:
    """Return the node `guard_admission` of a team.

    It validates the task, mints the run id, narrows the allowance, resets all that belongs to one run, and applies the
    guards of `admission`. Then it goes where `entry` leads, to a node of `destinations`, or to the end.
    """

    def guard_admission(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        try:
            given = run_input(state)
            current = execution_context(config)
            task, attachments = _apart(task_of(given.task), current.attachments if current else {})
            background = [item for item in _background(state.get("background")) if item not in given.background]
            context = [*background, *given.background]
            position, unable = _position(team, current, task, context)
        except BadInput as error:  # raised at the exit, once the thread does not hold the input any more
            return Command(update=_unfit(state, error), goto=EXIT)
        # The input is for this run alone: the next one on the thread does not find it any more.
        fresh: dict[str, Any] = {
            "task": None,
            "background": None,
            "admitted": task,
            **({"attachments": attachments} if attachments or state.get("attachments") else {}),
            "position": position,
            "context": context,
            "round": 1,
            "seen": given.seen,
        }
        own = {name: value for name, value in state.items() if name not in RunState.__annotations__}
        gate = GateContext(team, ADMISSION, {**own, **{name: kind() for name, kind in _EMPTY.items()}, **fresh}, config)
        gate.write_unchecked(visits={ADMISSION: 1})
        decision = gate.judge("admission", gate.task, [*unable, *gate.guards])
        gate.write_unchecked(verdicts=[*decision.verdicts])
        ending = decision.ending(otherwise="failed")
        command = run_route(gate, entry if ending is None else lambda gate: gate.end(ending), destinations=destinations)
        return Command(update=_first_update(fresh, command.update), goto=command.goto)

    return guard_admission


def _apart(task: Task, inherited: Mapping[str, Attachment]) -> tuple[Task, dict[str, Attachment]]:
    """Return a task with digests in place of the content of its attachments, and the content that is to be stored.

    What the teams above have stored is not stored again.
    """
    references, contents = without_content(task.attachments)
    missing = missing_content(references, {**inherited, **contents})
    if missing:
        raise BadInput(f"the attachment {missing[0]!r} has no content; give it as base64, text, url or file_id")
    task = task.model_copy(update={"attachments": references}) if contents else task
    return task, {digest: block for digest, block in contents.items() if digest not in inherited}


def _unfit(state: Mapping[str, Any], error: BadInput) -> dict[str, Any]:
    """Return the update that takes an invalid input out of the thread."""
    seen = [str(message.id) for message in state.get("messages") or () if getattr(message, "id", None)]
    gone = dict.fromkeys((*_UNSET, "admitted", "attachments", "task", "background"))
    return {**gone, "context": [], "seen": seen, "unfit": str(error)}


def _first_update(fresh: Mapping[str, Any], update: Any) -> dict[str, Any]:
    """Return the first update of a run, which removes what an earlier run has left on the thread."""
    written = {**fresh, **dict.fromkeys((*_UNSET, "unfit")), **update}
    return {**written, **{name: Overwrite(written.get(name) or kind()) for name, kind in _EMPTY.items()}}


def _background(given: Any) -> list[ContextItem]:
    try:
        return _ITEMS.validate_python([] if given is None else given)
    except ValidationError as error:
        raise BadInput(
            f"`background` is a list of context items, and does not fit: {validation_text(error, whole='background')}; "
            f"the fields of an item are {', '.join(ContextItem.model_fields)}"
        ) from error


def _position(
    team: TeamSpec, current: ExecutionContext | None, task: Task, background: Sequence[ContextItem]
) -> tuple[DelegationScope, list[Guard]]:
    """Return the position of the team, and guards that trip in place of those that could not narrow its allowance."""
    now = current.services.clock() if current else datetime.now(UTC)
    above, integrity = (current.position, current.integrity) if current else (None, None)
    inherited = above.allowance if above else Allowance()
    depth = above.depth if above else 0
    context = GuardContext(gate="admission", subject=task, now=now, allowance=inherited, depth=depth)
    allowance, reserve, unable = inherited, 0.0, list[Guard]()
    counting = applying(team.guards, categories=task.categories)
    guards = applying(counting, agents=())
    for guard in guards:
        limits = allowance_or_trip(guard, context)
        if not isinstance(limits, Allowance):
            unable.append(limits)
            continue
        narrower, wanted = allowance.narrow(limits), getattr(guard, "reserve", 0)
        # The reserve belongs to the account whose caps get narrower; an inherited allowance has one already.
        if wanted and narrower.is_metered and not allowance.within(narrower):
            reserve = float(wanted)
        allowance = narrower
    services = current.services if current else None
    has_database = services is not None and services.ledger.has_shared_accounts
    if above is None and not has_database:
        _check_below(team)
    run_id = above.run_id if above else (current and current.run_id) or new_id()
    account = f"{above.account}/{quote(team.name, safe='')}-{new_id()[:8]}" if above else run_id
    spending = f"{account}/work" if reserve else account
    own = account_steps(guards, account=account, spending=spending)
    if above is not None:
        inherited_budgets = above.budgets
    else:
        capped = services.capped if services is not None else ()
        inherited_budgets = tuple(
            SideBudget(per=per, window=window, cap=Allowance(), account=account) for per, window in capped
        )
    position = DelegationScope(
        run_id=run_id,
        account=account,
        spending_account=spending,
        path=above.path if above else (team.name,),
        depth=depth,
        allowance=allowance,
        reserve=reserve,
        chain=(*(above.chain if above else ()), str(team_link(team, task, background))),
        steps=(*(above.steps if above else ()), *own),
        budgets=(*inherited_budgets, *_side_budgets(team.name, counting, account, has_database=has_database)),
        trusted=above is None or (above.trusted and (integrity is None or integrity.trusted)),
        started=now,
    )
    return position, unable


def _side_budgets(team: str, guards: Iterable[Guard], account: str, *, has_database: bool) -> list[SideBudget]:
    """Return what the guards of a team cap beside the tree of the run.

    Raises `BadInput` for what is counted in a database, where there is none.
    """
    budgets = side_budgets(guards, account)
    shared = next((budget for budget in budgets if budget.is_shared), None)
    if shared is not None and not has_database:
        field = f"window={shared.window!r}" if shared.window is not None else f"per={shared.per!r}"
        raise BadInput(
            f"`{field}` of a Budget of team {team!r} is counted in a database, and there is none here; run the "
            "team with `Runner(url)`"
        )
    return budgets


def _check_below(team: TeamSpec) -> None:
    """Raise `BadInput` where a team below counts in a database whatever its task is, and there is none."""
    for agent in team.agents.values():
        inner = nested_team(agent)
        if inner is not None:
            _side_budgets(inner.name, applying(inner.guards, categories=()), "", has_database=False)
            _check_below(inner)
