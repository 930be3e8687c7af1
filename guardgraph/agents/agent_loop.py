"""One run of an agent under guards of its own: its budget, its working time, and what it leaves in the state."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from guardgraph.agents.results import stopped_error
from guardgraph.agents.tool_spending import spent_elsewhere, with_spending
from guardgraph.guards import (
    AllowanceLimiter,
    Budget,
    Deadline,
    Escalate,
    Finish,
    Guard,
    GuardContext,
    OnTrip,
    Refuse,
    alert_of,
    conditions,
    leaves,
    name_of,
    prices_of,
    reviewing,
)
from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.budget.attempt_budget import AttemptBudget
from guardgraph.runtime.budget.call_guards import CALL_GATES, CallGuards
from guardgraph.runtime.execution_context import ExecutionContext, execution_context
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.services import Services
from guardgraph.state import (
    AgentInfo,
    Allowance,
    Amount,
    DelegationScope,
    Gap,
    Outcome,
    OutcomeStatus,
    ReservationDenied,
    RunEvent,
    Task,
    Usage,
    Verdict,
    new_id,
)

__all__ = ("AgentLoop", "LoopRules", "idle_guard", "unmet_promise")

_CAPS = ("usd", "tokens", "calls")


class LoopRules(NamedTuple):
    """The guards of an agent's loop, and how its services are made."""

    guards: tuple[Guard, ...]
    name: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_event: Callable[[RunEvent], None] | None = None

    @property
    def judging(self) -> list[Guard]:
        """The guards of the gates `model` and `tool`."""
        return [guard for guard in self.guards if not CALL_GATES.isdisjoint(guard.gates)]

    @property
    def seconds(self) -> float | None:
        """For how long the agent may work; `None` sets no limit."""
        return min((guard.seconds for guard in self.guards if isinstance(guard, Deadline)), default=None)

    def allowance(self, now: datetime) -> Allowance:
        """Return what one run may spend."""
        context = GuardContext(gate="admission", subject=Task(goal=self.name or "agent"), now=now)
        found = Allowance()
        for guard in self.guards:
            if isinstance(guard, AllowanceLimiter) and not isinstance(guard, Deadline):
                found = found.narrow(guard.narrow(context))
        return found

    def guard_of(self, stop: ReservationDenied | Verdict) -> tuple[str, OnTrip]:
        """Return the name and the reaction of the guard that a stop is due to."""
        if isinstance(stop, Verdict):
            return stop.guard, next((g.on_trip for g in self.guards if name_of(g) == stop.guard), Finish())
        context = GuardContext(gate="admission", subject=Task(goal="agent"), now=self.clock())
        whole = self.allowance(context.now)
        for guard in self.guards:
            if isinstance(guard, AllowanceLimiter) and not isinstance(guard, Deadline):
                what = "usd" if stop.what == "price" else stop.what
                cap = getattr(guard.narrow(context), what, None)
                if cap is not None and cap == getattr(whole, what, None):
                    return name_of(guard), guard.on_trip
        return "Budget", Finish()


@dataclass(slots=True)
class AgentLoop:
    """One run of an agent, from its input to its answer, over all interrupts between."""

    rules: LoopRules
    budget: AttemptBudget
    guards: CallGuards
    used: float = 0
    """Seconds in which a model or a tool has worked for it."""
    late: Verdict | None = None
    token: str = field(default_factory=new_id)
    """Names what this process knows of the run."""
    _records: int = 0
    _restored: str | None = None
    """The version of the record that it went on from."""
    _elsewhere: set[str] = field(default_factory=set[str])
    """The processes whose tools are counted here."""
    _active: int = 0
    _since: float = 0
    _lock: Lock = field(default_factory=Lock)
    _alerting: Lock = field(default_factory=Lock)

    @classmethod
    def begun(
        cls, rules: LoopRules, record: Mapping[str, Any] | None = None, messages: Sequence[Any] = ()
    ) -> AgentLoop:
        """Return a new run with the messages that it begins with, or the one that has left `record` in the state."""
        kept: Mapping[str, Any] = record or {}
        around = execution_context(None)
        circuits = Circuits() if around is None else around.services.circuits
        services = Services(clock=rules.clock, on_event=rules.on_event, circuits=circuits)
        now, id_ = rules.clock(), str(kept.get("id") or new_id())
        position = DelegationScope(
            run_id=id_, account=id_, spending_account=id_, path=(rules.name,) if rules.name else (),
            allowance=rules.allowance(now), started=datetime.fromisoformat(kept["started"]) if kept else now,
        )  # fmt: skip
        services.ensure_open(position)
        epoch = services.epoch_of(id_)
        integrity = IntegrityRecord(trusted=kept.get("may_act", not kept))
        integrity.recall(messages)
        info = AgentInfo(rules.name, chain=position.path)
        guards = CallGuards(rules.judging, services, position, info, integrity=integrity)
        role = rules.name or "agent"
        around = execution_context(None)
        outer = {} if around is None or around.budget is None else around.budget.prices
        prices = {**prices_of(rules.guards), **outer}
        budget = AttemptBudget(services, position, epoch, role, guards=guards, prices=prices, integrity=integrity)
        loop = cls(rules, budget, guards)
        if kept:
            loop._restore(kept)
        return loop

    @property
    def id(self) -> str:
        """The id of the run."""
        return self.budget.position.run_id

    @property
    def execution(self) -> ExecutionContext:
        """What a reservation for a call of its model draws on."""
        return ExecutionContext(self.budget.services, self.budget.position, budget=self.budget)

    @property
    def stop(self) -> ReservationDenied | Verdict | None:
        """What has stopped it, if anything has."""
        limit = self.rules.seconds
        if self.late is None and limit is not None and self.worked >= limit:
            reason = f"the agent has worked for {self.worked:.1f} s, {limit:g} s are allowed"
            facts: dict[str, Any] = {"reason": reason, "measured": self.worked, "limit": limit}
            self.late = Verdict(guard="Deadline", gate="model", subject="run", action="trip", **facts)
        return self.budget.stopped or self.late

    @property
    def why(self) -> str:
        """What has stopped it, in one sentence."""
        stop = self.stop
        return "" if stop is None else stopped_error(stop)[0].message

    @property
    def worked(self) -> float:
        """Seconds in which a model or a tool has worked for it, those that work now included."""
        with self._lock:
            return self.used + (monotonic() - self._since if self._active else 0)

    @contextmanager
    def working(self) -> Generator[None]:
        """Count the time of a call; calls at the same time count once."""
        with self._lock:
            self._since = self._since if self._active else monotonic()
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                if not self._active:
                    self.used += monotonic() - self._since

    @property
    def usage(self) -> Usage:
        """What it has spent."""
        spent = self.budget.services.ledger.usage(self.budget.position.account)
        return spent.model_copy(update={"microseconds": int(self.worked * 1_000_000)})

    def alert(self) -> None:
        """Emit the alerts of what was spent since the last call, each threshold once in the run."""
        budgets = [one for one in leaves(self.rules.guards) if isinstance(one, Budget)]
        services, position = self.budget.services, self.budget.position
        with self._alerting:
            for budget in budgets:
                context = GuardContext(
                    gate="model", subject="run", now=services.clock(), state={"verdicts": self.guards.verdicts},
                    allowance=position.allowance, spent=services.ledger.usage(position.account),
                )  # fmt: skip
                found = alert_of(budget, context)
                if found is not None:
                    self.guards.note(found.model_copy(update={"subject": "run"}))

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """The alerts and trips of the run, as JSON data."""
        return [one.model_dump(mode="json", exclude_defaults=True) for one in self.guards.verdicts]

    def record(self) -> dict[str, Any]:
        """Return all that goes into the state: JSON data from which another process goes on."""
        stop, self._records = self.stop, self._records + 1
        return {
            "id": self.id,
            "version": f"{self.token}:{self._records}",
            "started": self.budget.position.started.isoformat(),
            "used": self.worked,
            "usage": self.usage.model_dump(mode="json"),
            "may_act": self.guards.integrity.may_act,
            **self.guards.notes(),
            "stop": None if stop is None else self._as_verdict(stop).model_dump(mode="json"),
        }

    def knows(self, record: Mapping[str, Any]) -> bool:
        """Whether nothing has gone on elsewhere: the record in the state is its own, or the one it went on from."""
        version = record.get("version")
        return version == self._restored or str(version).startswith(f"{self.token}:")

    def noting(self, answer: Any, calls: int) -> Any:
        """Return the answer of a tool, with what was spent where models were called beyond `calls`."""
        usage = self.usage
        return with_spending(answer, run=self.id, by=self.token, usage=usage) if usage.calls > calls else answer

    def add_elsewhere(self, record: Mapping[str, Any], messages: Sequence[Any]) -> None:
        """Count what tools have spent in other processes since the record was written."""
        spent = spent_elsewhere(messages, run=self.id, since=Usage.model_validate(record["usage"]))
        for by in spent.keys() - self._elsewhere - {self.token}:
            self._elsewhere.add(by)
            self._add(f"{self.id}#{by}", spent[by])

    def outcome(self, value: Any) -> Outcome:
        """End the run: close its account, and return the outcome with its answer or with what there was."""
        services, position = self.budget.services, self.budget.position
        stop = self.stop
        services.ledger.close(position.account, self.budget.epoch)
        if stop is None:
            return Outcome(status="completed", value=value, usage=self.usage)
        name, on_trip = self.rules.guard_of(stop)
        number = self.guards.tripped_by
        if stop == self.guards.tripped and number is not None:  # others may have the same name
            on_trip = self.rules.judging[number].on_trip
        status: OutcomeStatus = "failed" if value is None else "degraded"
        if isinstance(on_trip, Escalate | Refuse):
            status = "escalated" if isinstance(on_trip, Escalate) else "refused"
        gap = Gap(subtask="result", agent=self.rules.name or None, reason=self.why, guard=name)
        kept = None if isinstance(on_trip, Refuse) else value
        return Outcome(status=status, value=kept, gaps=(gap,), stopped_by=name, reason=self.why, usage=self.usage)

    def _as_verdict(self, stop: ReservationDenied | Verdict) -> Verdict:
        if isinstance(stop, Verdict):
            return stop
        name, _ = self.rules.guard_of(stop)
        return Verdict(guard=name, gate="model", subject="run", action="trip", reason=str(stop))

    def _restore(self, kept: Mapping[str, Any]) -> None:
        """Go on where another process has left it: what was spent, called and refused counts."""
        self._add(f"{self.id}#earlier", Usage.model_validate(kept["usage"]))
        self._restored = kept.get("version")
        self.used = float(kept["used"])
        self.guards.go_on(kept)

    def _add(self, entry: str, usage: Usage) -> None:
        ledger = self.budget.services.ledger
        ledger.reserve(entry, self.id, self.budget.epoch, Amount())
        ledger.settle(entry, usage)


def _is_effective(guard: Guard, now: datetime) -> bool:
    """Return whether a guard can stop anything inside an agent's loop."""
    if not CALL_GATES.isdisjoint(guard.gates) or isinstance(guard, Deadline):
        return True
    if not isinstance(guard, AllowanceLimiter):
        return False
    limits = guard.narrow(GuardContext(gate="admission", subject=Task(goal="agent"), now=now))
    return any(getattr(limits, name) is not None for name in _CAPS)


def idle_guard(guards: Sequence[Guard], now: datetime) -> Guard | None:
    """Return the first guard that could stop nothing inside an agent's loop, if there is one."""
    return next((guard for guard in guards if not _is_effective(guard, now)), None)


def unmet_promise(guards: Sequence[Guard], name: str) -> str | None:
    """Return what a guard declares that never applies inside the loop of the agent `name`, if one does."""
    for guard in conditions(guards):
        if guard.categories is not None:
            return f"`only(categories=…)` of guard {name_of(guard)!r}: the input of an agent has no categories"
        if name not in (guard.agents or ()):
            named = ", ".join(map(repr, sorted(guard.agents or ())))
            return f"`only(agents=…)` of guard {name_of(guard)!r} names {named}, and the `name` given here is {name!r}"
    for guard in leaves(guards):
        if isinstance(guard, Budget) and guard.at:
            return "`Budget(at=…)` changes the model of agents of a team; leave `at` out, or put the agent into a team"
        if isinstance(guard, Budget) and (guard.per, guard.window) != ("run", None):
            return (
                f"a Budget with per={guard.per!r} and window={guard.window!r} is not counted inside one agent's loop, "
                "which knows its own run alone; write `guarded(agent, […])`, and run it with `Runner(url, tenant=…)`"
            )
    unasked = next(iter(reviewing(guards)), None)
    if unasked is not None:
        return (
            f"guard {name_of(unasked)!r} names the reviewer {unasked.review!r}, which nothing asks inside one agent's "
            "loop; write `guarded(agent, […], reviewers=[…])`, or leave `review` out"
        )
    return None
