"""Random trees of teams that spend under side accounts, checked against books of their own, call by call.

`problems(seed, engine)` runs one case: up to three runs of one tenant at once, each a tree of teams up to six levels
deep and up to twenty attempts wide, with failures, retries, kills and resumes, in random order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import Engine, update

from guardgraph.agents import Agent
from guardgraph.nodes.scope import attempt_scope
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Allowance,
    Amount,
    DelegationScope,
    Request,
    SideBudget,
    Subtask,
    Task,
    Usage,
    account_chain,
    attempt_sides,
    period_at,
)
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.leases import Claim, Fence, acquire
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.ledger.shared_budgets import SQLBudgets
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.tables import leases

__all__ = ("Figures", "problems")

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DEPTH, WIDTH = 6, 20
AGENTS = [Agent(name, run=lambda request: None) for name in ("press", "a b", "=agent")]
SHARING = replace(AGENTS[0], budget_share=0.5)
KINDS = ("tokens", "usd", "calls")
TASK = Task(goal="g", id="t")


@dataclass
class Figures:
    """What has happened in all cases."""

    counts: Counter[str] = field(default_factory=Counter[str])


class Spending(NamedTuple):
    """A call in the books: in which accounts it counts, and how much."""

    accounts: frozenset[str]
    amount: Amount


class Settled(NamedTuple):
    """A call that was settled."""

    accounts: frozenset[str]
    amount: Amount
    used: Amount


@dataclass
class Books:
    """What every account may hold, has spent and has reserved, counted apart from the ledger's own code."""

    caps: dict[str, Allowance] = field(default_factory=dict[str, Allowance])
    spent: defaultdict[str, Amount] = field(default_factory=lambda: defaultdict[str, Amount](Amount))
    over: defaultdict[str, Amount] = field(default_factory=lambda: defaultdict[str, Amount](Amount))
    """By how much calls have exceeded what was reserved for them."""
    open: dict[str, Spending] = field(default_factory=dict[str, Spending])

    def reserved(self, account: str) -> Amount:
        return sum((one.amount for one in self.open.values() if account in one.accounts), Amount())

    def lacks(self, accounts: frozenset[str], wanted: Amount) -> set[str]:
        """Return the accounts in which an amount does not fit."""
        found = set[str]()
        for account in accounts:
            held = self.spent[account] + self.reserved(account)
            for what in KINDS:
                cap, want = getattr(self.caps[account], what), getattr(wanted, what)
                if cap is not None and want and getattr(held, what) + want > cap:
                    found.add(account)
        return found

    def settle(self, entry: str, usage: Usage | None) -> Settled:
        accounts, amount = self.open.pop(entry)
        used = amount if usage is None else Amount(usage.tokens, usage.usd, usage.calls)
        for account in accounts:
            self.spent[account] += used
            self.over[account] += _excess(used, amount)
        return Settled(accounts, amount, used)

    def settle_in_full_after_all(self, settled: Settled) -> None:
        """Count in full, in the run's own accounts, what was settled and not stored before its process died."""
        for account in settled.accounts:
            if not _is_shared(account):
                self.spent[account] += -settled.used + settled.amount


@dataclass
class Attempt:
    """An attempt in the tree: of an agent, or of a team, whose own attempts are below it."""

    scope: DelegationScope
    agent: str
    subtask: str | None
    parent: Team | None
    epoch: int = 0
    is_open: bool = True


@dataclass
class Team:
    """A team in the tree."""

    scope: DelegationScope
    within: Attempt | None
    attempts: list[Attempt] = field(default_factory=list[Attempt])


@dataclass
class World:
    """The runs of one tenant, and the books of all their accounts."""

    random: Random
    engine: Engine
    tenant: str
    figures: Counter[str]
    now: datetime = NOON
    books: Books = field(default_factory=Books)
    operator: Allowance | None = None
    faults: list[str] = field(default_factory=list[str])

    def chance(self, part: float) -> bool:
        return self.random.random() < part


@dataclass
class Run:
    """One run in one process, until that is killed."""

    world: World
    thread: str
    services: Services = field(default_factory=Services)
    fence: Fence | None = None
    teams: list[Team] = field(default_factory=list[Team])
    entries: dict[str, Attempt] = field(default_factory=dict[str, Attempt])
    number: int = 0
    is_dead: bool = False
    unstored: list[Settled] = field(default_factory=list[Settled])
    """What was settled since the ledger was stored: with the next reservation, or with a checkpoint."""
    closed: list[Attempt] = field(default_factory=list[Attempt])
    """The attempts that have ended since then: their nodes run again where the process dies now."""

    @property
    def run_id(self) -> str:
        return f"{self.world.tenant}-{self.thread}"

    def start(self) -> None:
        """Begin in a process: take the lease, and load what is stored."""
        world = self.world
        claim = Claim(self.thread, self.run_id, f"p{world.random.random()}", 600, world.tenant)
        with write_transaction(migrate(world.engine)) as connection:
            self.fence = acquire(connection, claim)
        ledger = RunLedger(
            world.engine,
            self.run_id,
            tenant=world.tenant,
            fence=self.fence,
            is_new=not self.teams,
            clock=lambda: world.now,
        )
        self.services, self.is_dead = Services(ledger=ledger), False

    # What happens

    def begin_team(self, within: Attempt | None) -> None:
        world, random = self.world, self.world.random
        depth = 0 if within is None else within.scope.depth
        account = self.run_id if within is None else f"{within.scope.account}/team-{random.getrandbits(32):08x}"
        above = Allowance() if within is None else within.scope.allowance
        allowance = above.narrow(_limits(random, most=3_000 // (depth + 1)))
        reserve = 0.2 if allowance.is_metered and not above.within(allowance) and world.chance(0.5) else 0.0
        budgets = (() if within is None else within.scope.budgets) + tuple(_budgets(random, account))
        scope = DelegationScope(
            run_id=self.run_id,
            account=account,
            spending_account=f"{account}/work" if reserve else account,
            depth=depth,
            allowance=allowance,
            reserve=reserve,
            budgets=budgets,
            started=world.now,
        )
        team = Team(scope, within)
        self.teams.append(team)
        self._opened(team)
        world.figures["teams"] += 1
        world.figures["depth"] = max(world.figures["depth"], depth + 1)

    def begin_attempt(self, team: Team) -> None:
        random = self.world.random
        retried = [one for one in team.attempts if not one.is_open]
        again = random.choice(retried) if retried and self.world.chance(0.3) else None
        agent = random.choice([*AGENTS, SHARING])
        subtask = again.subtask if again else random.choice([None, f"s{random.randrange(4)}"])
        request = Request(
            task=TASK,
            subtask=None if subtask is None else Subtask(id=subtask, goal="g"),
            id=f"{agent.name}/{subtask}#{len(team.attempts)}",
        )
        concluding = self.world.chance(0.15)
        scope = attempt_scope(agent, request, team.scope, self.services, attempt=request.id, concluding=concluding)
        attempt = Attempt(scope, agent.name, subtask, team)
        team.attempts.append(attempt)
        self._open_attempt(attempt)
        self.world.figures["retries" if again else "attempts"] += 1
        self.world.figures["width"] = max(self.world.figures["width"], len(team.attempts))

    def call(self, attempt: Attempt) -> None:
        """Reserve for a call: granted if and only if it fits in every account that it counts in."""
        world, random, books = self.world, self.world.random, self.world.books
        usd = Decimal(random.randrange(0, 40)) / 1_000
        amount = Amount(tokens=random.randrange(1, 400), usd=usd, calls=1)
        accounts, entry = self._accounts(attempt), f"{attempt.scope.account}:{self.number}"
        self.number += 1
        lacking = books.lacks(accounts, amount)
        denied = self.services.ledger.reserve(entry, attempt.scope.account, attempt.epoch, amount)
        if denied is not None and denied.what == "closed":
            world.faults.append(f"untrue: {entry} was refused as closed")
        elif denied is not None and not lacking:
            world.faults.append(f"refused: {entry} of {amount} by {denied} ({denied.account}), and all had room")
        elif denied is None and lacking:
            world.faults.append(f"overspent: {entry} of {amount} was granted, and {sorted(lacking)} had no room")
        world.figures["calls" if denied is None else "refused"] += 1
        if denied is None:
            self.stored()
            books.open[entry] = Spending(accounts, amount)
            self.entries[entry] = attempt
        elif denied.label:
            world.figures["refused beside the tree"] += 1
        if denied is not None and denied.retryable and not books.open:
            world.faults.append(f"untrue: {entry} is to wait, and nothing is open")

    def end_call(self) -> None:
        random, entry = self.world.random, self.world.random.choice([*self.entries])
        reserved = self.world.books.open[entry].amount
        del self.entries[entry]
        usage: Usage | None = Usage(
            input_tokens=random.randrange(0, reserved.tokens + 1),
            usd=(reserved.usd or Decimal(0)) * random.randrange(0, 5) / 4,
            calls=1,
        )
        if self.world.chance(0.05):  # it has taken more than could be known before
            usage = Usage(input_tokens=reserved.tokens * 2, usd=(reserved.usd or Decimal(0)) * 2, calls=1)
            self.world.figures["overshot"] += 1
        elif self.world.chance(0.1):
            usage = random.choice([None, Usage(calls=1)])  # it has failed, or reports nothing
            self.world.figures["failed"] += 1
        self.services.ledger.settle(entry, usage)
        self.unstored.append(self.world.books.settle(entry, usage))

    def close(self, attempt: Attempt) -> None:
        """End an attempt and all below it, as the team that it is ends with it."""
        for team in [one for one in self.teams if one.within is attempt]:
            for below in team.attempts:
                if below.is_open:
                    self.close(below)
        self.services.ledger.close(attempt.scope.account, attempt.epoch)
        attempt.is_open = False
        self.closed.append(attempt)
        self._settle_in_full(attempt)

    def kill(self) -> None:
        """Lose the process with all that it has not stored; its lease runs out."""
        for entry in self.entries:
            assert entry in self.world.books.open
        self.is_dead = True
        for settled in self.unstored:
            self.world.books.settle_in_full_after_all(settled)
        for attempt in self.closed:
            attempt.is_open = True
        self.stored()
        mine = (leases.c.tenant == self.world.tenant, leases.c.thread_id == self.thread)
        with write_transaction(self.world.engine) as connection:
            connection.execute(update(leases).where(*mine).values(expires=1))
        self.world.figures["kills"] += 1

    def resume(self) -> None:
        """Go on in another process: what was left open is settled in full, and attempts at work run again."""
        self.start()
        for team in self.teams:
            if team.within is None or team.within.is_open:
                if team.within is not None:
                    self._open_attempt(team.within)
                self._opened(team)
        for team in self.teams:
            for attempt in team.attempts:
                if attempt.is_open:
                    self._open_attempt(attempt)
        self.world.figures["resumes"] += 1

    # What it means

    def _opened(self, team: Team) -> None:
        scope, books = team.scope, self.world.books
        self.services.ensure_open(scope)
        books.caps[scope.account] = scope.allowance
        if scope.spending_account != scope.account:
            books.caps[scope.spending_account] = scope.allowance.share(1 - scope.reserve)
        self._check_child(scope.account, None if team.within is None else team.within.scope.account)

    def _open_attempt(self, attempt: Attempt) -> None:
        scope, team = attempt.scope, attempt.parent
        assert team is not None
        if attempt.epoch:
            self._settle_in_full(attempt)
        attempt.epoch = self.services.ledger.open(scope.account, scope.allowance)
        sides = attempt_sides(scope.budgets, team=team.scope.account, agent=attempt.agent, subtask=attempt.subtask)
        self.services.draw_on(scope.account, sides)
        self.world.books.caps[scope.account] = scope.allowance
        self._check_child(scope.account, team.scope.account)

    def _settle_in_full(self, attempt: Attempt) -> None:
        for entry in [entry for entry, owner in self.entries.items() if owner is attempt]:
            del self.entries[entry]
            self.world.books.settle(entry, None)

    def stored(self) -> None:
        self.unstored.clear()
        self.closed.clear()

    def _check_child(self, account: str, parent: str | None) -> None:
        caps = self.world.books.caps
        limits = (
            [] if parent is None else [(getattr(caps[account], what), getattr(caps[parent], what)) for what in KINDS]
        )
        if any(above is not None and (own is None or own > above) for own, above in limits):
            self.world.faults.append(f"larger: {account} {caps[account]} than {parent}")

    def _accounts(self, attempt: Attempt) -> frozenset[str]:
        """Return the names of all accounts that a call counts in, by rules of the test's own."""
        books, found = self.world.books, set[str]()
        chain = account_chain(attempt.scope.account)
        found.update(name for name in chain if name in books.caps)
        node: Attempt | None = attempt
        while node is not None:
            team = node.parent
            assert team is not None
            for budget in node.scope.budgets:
                who = None
                if budget.per == "agent" and budget.account in chain:
                    who = node.agent
                elif budget.per == "task" and budget.account == team.scope.account:
                    who = node.subtask or ""
                elif budget.per in ("run", "thread", "tenant") and budget.account in chain:
                    who = ""
                if who is not None:
                    found.add(self._side(budget, who))
            node = team.within
        return frozenset(found)

    def _side(self, budget: SideBudget, who: str) -> str:
        """Return the name of a side account in its present period; enter the tightest cap that was declared."""
        world, books = self.world, self.world.books
        place = {"tenant": "", "thread": self.thread}.get(budget.per, budget.account)
        period = "" if budget.window is None else period_at(budget.window, world.now).name
        name = f"{budget.per}|{place}|{who}|{budget.window}|{period}"
        operated = world.operator if (budget.per, budget.window) == ("tenant", "day") else None
        books.caps[name] = budget.cap if operated is None else operated
        return name


def problems(seed: int, engine: Engine, figures: Figures | None = None) -> list[str]:
    """Return what is wrong with the case of a seed."""
    random = Random(seed)
    world = World(random, engine, f"tenant-{seed}", (figures or Figures()).counts)
    runs = [Run(world, f"t{number}") for number in range(random.choice([1, 1, 2, 3]))]
    for run in runs:
        run.start()
        run.begin_team(None)
    for _ in range(random.randrange(20, 120)):
        _step(random.choice(runs), world)
        if world.faults:
            return world.faults
    for run in runs:
        _finish(run, world)
    world.figures["trees"] += len(runs)
    return world.faults or _unequal(runs, world)


def _step(run: Run, world: World) -> None:
    """Let something happen in a run."""
    if run.is_dead:
        if world.chance(0.4):
            run.resume()
        return
    steps, weights = zip(*STEPS.items(), strict=True)
    world.random.choices(steps, weights)[0](run, world)


def _at_work(run: Run) -> list[Attempt]:
    return [one for team in run.teams for one in team.attempts if one.is_open]


def _store(run: Run, world: World) -> None:
    assert isinstance(run.services.ledger, RunLedger)
    run.services.ledger.store()  # with a checkpoint
    run.stored()


def _let_time_pass(run: Run, world: World) -> None:
    world.now += world.random.choice([timedelta(minutes=20), timedelta(hours=1), timedelta(days=1)])


def _set_cap(run: Run, world: World) -> None:
    random = world.random
    world.operator = Allowance(tokens=random.randrange(4_000), usd=Decimal(3), calls=random.randrange(40))
    SQLBudgets(world.engine, tenant=world.tenant).set(world.operator, None, "day")
    world.figures["set"] += 1


def _begin_attempts(run: Run, world: World) -> None:
    teams = [one for one in run.teams if one.within is None or one.within.is_open]
    team = world.random.choice(teams[-3:])
    for _ in range(min(world.random.choice([1, 2, 8]), WIDTH - len(team.attempts))):
        run.begin_attempt(team)


def _begin_team(run: Run, world: World) -> None:
    deep = [one for one in _at_work(run) if one.scope.depth < DEPTH]
    if deep:
        run.begin_team(world.random.choice(deep[-3:]))


def _call(run: Run, world: World) -> None:
    if not _at_work(run):
        _begin_attempts(run, world)
    if at_work := _at_work(run):
        run.call(world.random.choice(at_work))


def _end_call(run: Run, world: World) -> None:
    if run.entries:
        run.end_call()


def _close(run: Run, world: World) -> None:
    if at_work := _at_work(run):
        run.close(world.random.choice(at_work))


STEPS = {
    (lambda run, world: run.kill()): 2,
    _store: 2,
    _let_time_pass: 2,
    _set_cap: 1,
    _begin_attempts: 15,
    _begin_team: 8,
    _call: 40,
    _end_call: 25,
    _close: 6,
}
"""What may happen in a run, and how often it does."""


def _finish(run: Run, world: World) -> None:
    """End a run: some go on before, others stay dead."""
    if run.is_dead and world.chance(0.7):
        run.resume()
    if not run.is_dead:
        while run.entries:
            run.end_call()
        for team in run.teams:
            for attempt in team.attempts:
                if attempt.is_open:
                    run.close(attempt)
        assert isinstance(run.services.ledger, RunLedger)
        run.services.ledger.store()


def _unequal(runs: list[Run], world: World) -> list[str]:
    """Return where the ledger differs from the books, and where more was spent than the cap and all overshoots."""
    for run in runs:
        if run.is_dead:
            run.resume()
            for team in run.teams:
                for attempt in team.attempts:
                    run.close(attempt)
    return [*_other_balances(runs, world), *_other_shared(world), *_overspent(world), *sorted(world.books.open)]


def _other_balances(runs: list[Run], world: World) -> list[str]:
    found, spent = list[str](), world.books.spent
    for run in runs:
        for team in run.teams:
            for name in {team.scope.account, *(one.scope.account for one in team.attempts)}:
                balance = next(one for one in run.services.ledger.balances(name) if one.account == name)
                if (balance.spent, balance.reserved) != (spent[name], Amount()):
                    found.append(f"differs: {name} has {balance}, the books {spent[name]}")
    return found


def _other_shared(world: World) -> list[str]:
    listed = SQLBudgets(world.engine, tenant=world.tenant, clock=lambda: world.now).listed()
    stored, found = {one.label: one for one in listed}, list[str]()
    for name in [name for name in world.books.caps if name.startswith("tenant|")]:
        period = name.rpartition("|")[2]
        label = f"tenant {world.tenant}" + (f"'s {period}" if period else "")
        spent = world.books.spent[name]
        if label in stored and (stored[label].spent, stored[label].reserved) != (spent, Amount()):
            found.append(f"differs: {label} has {stored[label]}, the books {spent}")
    return found


def _overspent(world: World) -> list[str]:
    books, found = world.books, list[str]()
    for name, spent in books.spent.items():
        if world.operator is not None and name.startswith("tenant|"):
            continue  # its cap may have been lowered after it was spent
        for what in KINDS:
            cap, over = getattr(books.caps[name], what), getattr(books.over[name], what)
            if cap is not None and getattr(spent, what) > cap + over:
                found.append(f"overspent: {name} has {spent}, its cap is {cap} {what}")
    return found


def _limits(random: Random, *, most: int) -> Allowance:
    """Return random limits; about half of them are none."""
    return Allowance(
        tokens=random.choice([None, random.randrange(most)]),
        usd=random.choice([None, Decimal(random.randrange(most)) / 1_000]),
        calls=random.choice([None, None, random.randrange(1, 30)]),
    )


def _budgets(random: Random, account: str) -> list[SideBudget]:
    """Return random budgets beside the tree, of each kind at most one."""
    kinds: list[tuple[Any, Any]] = [(per, window) for per in ("agent", "task") for window in (None, None, "hour")]
    kinds += [(per, window) for per in ("thread", "tenant") for window in (None, "day")] + [("run", "hour")]
    chosen = {random.choice(kinds) for _ in range(random.choice([0, 1, 1, 2, 3]))}
    return [
        SideBudget(per=per, window=window, cap=_shared_cap(per, window), account=account)
        for per, window in sorted(chosen, key=str)
    ]


def _shared_cap(per: str, window: str | None) -> Allowance:
    """Return the cap of a kind: the same for all who declare it, so that the books have one."""
    scale = {"agent": 2, "task": 1, "run": 4, "thread": 5, "tenant": 6}[per] * (1 if window else 2)
    return Allowance(tokens=scale * 300, usd=Decimal(scale) / 20, calls=scale * 2)


def _is_shared(account: str) -> bool:
    """Return whether a name of the books is that of an account which runs share."""
    per, *_, window, _ = account.split("|") if "|" in account else ("", "", "None", "")
    return per in ("thread", "tenant") or window != "None"


def _excess(used: Amount, amount: Amount) -> Amount:
    usd = max((used.usd or Decimal(0)) - (amount.usd or Decimal(0)), Decimal(0))
    return Amount(max(used.tokens - amount.tokens, 0), usd, 0)
