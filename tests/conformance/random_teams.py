"""Random trees of teams, and a record of every plan that their planners made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from threading import Lock
from typing import Any
from zlib import crc32

from langgraph.graph import StateGraph

from guardgraph.agents import Agent, Bidder, announced_lots
from guardgraph.graphs import (
    Parallel,
    Rule,
    SendBack,
    Stage,
    Subscription,
    Tier,
    auction,
    consensus,
    hierarchy,
    majority,
    pipeline,
    plurality,
    reactive,
    router,
    supervisor,
    swarm,
)
from guardgraph.guards import (
    AllOf,
    AnyOf,
    Breaker,
    Budget,
    Confidence,
    Convergence,
    Cycle,
    Deadline,
    Depth,
    Escalate,
    Finish,
    Guard,
    Limits,
    Only,
    Refuse,
    Repetition,
    Retry,
    Reviewed,
    Schema,
    Trust,
    guard,
    reviewing,
)
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import TASK_EVENT, Gate, Opinion, Plan, Request, Subtask
from tests.conformance.random_peers import Work, emitting, random_limits, random_types, talking

__all__ = ("CALL", "Planned", "RandomTeam", "random_team")

CALL = 50
"""Tokens of every model call."""
_GATES: tuple[Gate, ...] = ("admission", "dispatch", "handoff", "round", "exit")
_ANSWERED = ("handoff", "round", "exit")
_OF_AGENTS: tuple[Gate, ...] = ("dispatch", "handoff")
_Graph = StateGraph[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """One plan as the planner gave it."""

    account: str
    """That of the planner's team."""
    round: int
    attempt: int
    plan: Plan


@dataclass(slots=True)
class RandomTeam:
    """A graph made by a random generator; the same generator makes the same graph."""

    graph: _Graph
    config: dict[str, Any]
    planned: list[Planned] = field(default_factory=list[Planned])
    budgets: dict[str, int] = field(default_factory=dict[str, int])
    """Tokens that each team may spend, by its name."""
    subscribers: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict[str, dict[str, frozenset[str]]])
    """The types of events that agents subscribe to, by the name of their team."""
    reviewed: set[str] = field(default_factory=set[str])
    """The names of the teams that accept no result without a reviewer's approval."""
    approved: set[str] = field(default_factory=set[str])
    """The ids of the results that a reviewer has approved."""
    is_steady: bool = True
    """Whether two runs have to give the same outcome: no race for a budget, no time limit."""
    is_given_up: bool = False
    """Nobody waits for it any more."""


def random_team(random: Random) -> RandomTeam:
    """Return a team whose shape, plans, workers and guards `random` chooses."""
    maker = _Maker(random)
    graph = maker.team("top", levels=random.randint(1, 3))
    limit = random.choice([None, None, None, None, 30, 20, 14])
    config = {} if limit is None else {"recursion_limit": limit}
    return RandomTeam(
        graph,
        config,
        maker.planned,
        maker.budgets,
        maker.subscribers,
        maker.reviewed,
        maker.approved,
        maker.is_steady,
    )


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.planned: list[Planned] = []
        self.budgets: dict[str, int] = {}
        self.subscribers: dict[str, dict[str, frozenset[str]]] = {}
        self.reviewed: set[str] = set()
        self.approved: set[str] = set()
        self.is_steady = True
        self.has_caps = True
        self._number = 0
        self._lock = Lock()

    def team(self, name: str, *, levels: int) -> _Graph:
        patterns = {
            self.pipeline: 4,
            self.supervisor: 4,
            self.router: 3,
            self.consensus: 2,
            self.auction: 3,
            self.hierarchy: 2,
            self.swarm: 3,
            self.reactive: 3,
        }
        make = self.random.choices([*patterns], weights=[*patterns.values()])[0]
        return make(name, levels=levels)

    def consensus(self, name: str, *, levels: int) -> _Graph:
        workers = [self.worker(levels=levels) for _ in range(self.random.randint(2, 4))]
        panel = [replace(worker, output=None, fallback=None) for worker in workers]  # one schema for all
        return consensus(
            panel,
            vote=self.random.choice([plurality, majority]),
            quorum=self.random.randint(1, len(panel)),
            **self.guarded(name),
            name=name,
        )

    def auction(self, name: str, *, levels: int) -> _Graph:
        workers = [self.worker(levels=levels) for _ in range(self.random.randint(1, 3))]
        skills = [None, *(skill for worker in workers for skill in (worker.name, *worker.skills)), "missing"]
        return auction(
            [Bidder(worker, bid=self.bids(), capacity=self.random.choice([None, 1, 2, 3])) for worker in workers],
            planner=self.planner(skills) if self.random.random() < 0.7 else None,
            award=self.random.choice(["greedy", "regret"]),
            rounds=self.random.randint(1, 3),
            synthesizer=self.synthesizer(),
            **self.guarded(name),
            concurrency=self.random.choice([None, 1, 2, 4]),
            name=name,
        )

    def bids(self) -> Agent:
        """Return an agent that bids: each answer is a good one, none, an error, or bids that are refused."""
        salt = self.random.random()

        def bid(request: Request) -> Any:
            lots = announced_lots(request)
            digest = crc32(f"{salt}{[lot.id for lot in lots]}{request.attempt}".encode())
            offers = [{"subtask": lot.id, "cost": crc32(f"{salt}{lot.id}".encode()) % 7} for lot in lots]
            if digest % 9 == 0:
                raise RuntimeError("no idea")
            odd = [{"subtask": "elsewhere", "cost": 1}, {"subtask": lots[0].id, "cost": -1}, 7]
            return {1: [], 2: odd, 3: None, 4: [*offers, odd[0]]}.get(digest % 9, offers)

        return Agent(self.name("bids"), run=bid, attempts=self.random.randint(1, 2))

    def supervisor(self, name: str, *, levels: int) -> _Graph:
        workers = [self.worker(levels=levels) for _ in range(self.random.randint(1, 3))]
        skills = [None, *(skill for worker in workers for skill in (worker.name, *worker.skills)), "missing"]
        return supervisor(
            planner=self.planner(skills),
            workers=workers,
            synthesizer=self.synthesizer(),
            **self.guarded(name),
            concurrency=self.random.choice([None, 1, 2, 4]),
            name=name,
        )

    def hierarchy(self, name: str, *, levels: int) -> _Graph:
        top = self.tier(levels, self.random.randint(1, 3))
        return hierarchy(top, **self.guarded(name), concurrency=self.random.choice([None, 1, 4]), name=name)

    def tier(self, levels: int, below: int) -> Tier:
        members: list[Agent | Tier] = [self.worker(levels=levels) for _ in range(self.random.randint(1, 2))]
        if below > 1:
            members.append(self.tier(levels, below - 1))
        skills = [None, *(skill for member in members for skill in (member.name, *member.skills)), "missing"]
        return Tier(self.planner(skills), members, synthesizer=self.synthesizer(), attempts=self.random.choice([1, 2]))

    def swarm(self, name: str, *, levels: int) -> _Graph:
        peers = [self.worker(levels=levels) for _ in range(self.random.randint(2, 4))]
        names = [peer.name for peer in peers]
        salt = self.random.random()
        peers = [_with_work(peer, lambda work, name: talking(work, name, names, salt)) for peer in peers]
        order = self.random.sample(peers, self.random.randint(1, len(peers)))
        return swarm(
            peers,
            start=self.random.sample(peers, self.random.randint(1, len(peers))),
            acceptance=self.random.choice([None, None, "unanimous", "majority", names[:2]]),
            tie_breaker=self.random.choice([None, order]),
            proposals=self.random.randint(1, 6),
            per_pair=self.random.choice([None, 4]),
            per_peer=self.random.choice([None, 9]),
            synthesizer=self.synthesizer(),
            **self.guarded(name, random_limits(self.random)),
            concurrency=self.random.choice([None, 1, 2]),
            name=name,
        )

    def reactive(self, name: str, *, levels: int) -> _Graph:
        agents = [self.worker(levels=levels) for _ in range(self.random.randint(1, 4))]
        salt, emits = self.random.random(), {agent.name: random_types(self.random) for agent in agents}
        agents = [_with_work(agent, lambda work, name: emitting(work, name, emits[name], salt)) for agent in agents]
        types: dict[str, frozenset[str]] = {}
        for agent in agents:
            others = {one for other, some in emits.items() if other != agent.name for one in some}
            known = sorted(others | {TASK_EVENT})
            types[agent.name] = frozenset(self.random.sample(known, self.random.randint(1, len(known))))
        types[agents[0].name] |= {TASK_EVENT}
        self.subscribers[name] = types
        return reactive(
            [Subscription(agent, types[agent.name], ordered=self.random.random() < 0.5) for agent in agents],
            emits=emits,
            depth=self.random.choice([1, 3, 16]),
            events=self.random.choice([1, 4, 200]),
            value=self.random.choice([(), (), sorted({one for some in emits.values() for one in some})]),
            **self.guarded(name),
            concurrency=self.random.choice([None, 1, 2]),
            name=name,
        )

    def router(self, name: str, *, levels: int) -> _Graph:
        workers = [self.worker(levels=levels) for _ in range(self.random.randint(1, 3))]
        names = [worker.name for worker in workers]
        rules = [Rule.regex(self.random.choice(["look", "do", "of"]), worker=self.random.choice(names))]
        choices: list[Any] = [*names, None, "nobody", 7, RuntimeError("no idea")]
        return router(
            workers,
            fallback=self.worker(levels=levels),
            rules=self.random.choice([rules, []]),
            classifier=self.classifier([*names, *self.random.choice([[], [], ["nobody"]])]),
            model=self.chooser(choices) if self.random.random() < 0.5 else None,
            **self.guarded(name),
            name=name,
        )

    def classifier(self, names: list[str]) -> Callable[[str], dict[str, float]]:
        salt, fails = self.random.random(), self.random.random() < 0.2

        def classify(text: str) -> dict[str, float]:
            if fails:
                raise RuntimeError("no classifier")
            return {name: crc32(f"{salt}{name}{text}".encode()) % 11 / 10 for name in names}

        return classify

    def chooser(self, choices: list[Any]) -> Agent:
        salt = self.random.random()

        def choose(request: Request) -> Any:
            chosen = choices[crc32(f"{salt}{request.goal}{request.attempt}".encode()) % len(choices)]
            if isinstance(chosen, Exception):
                raise chosen
            return {"worker": chosen}

        return Agent(self.name("chooser"), run=choose, attempts=self.random.randint(1, 2))

    def pipeline(self, name: str, *, levels: int) -> _Graph:
        stages = list[Stage | Parallel]()
        for _ in range(self.random.randint(1, 3)):
            if self.random.random() < 0.25:
                members = [self.stage(levels, stages) for _ in range(self.random.randint(1, 3))]
                stages.append(Parallel(*members, name=self.name("block")))
            else:
                stages.append(self.stage(levels, stages))
        return pipeline(stages, **self.guarded(name), concurrency=self.random.choice([None, 1, 2]), name=name)

    def stage(self, levels: int, earlier: list[Stage | Parallel]) -> Stage:
        names = [one.name if isinstance(one, Parallel) else one.agent.name for one in earlier]
        back = None
        if names and self.random.random() < 0.3:
            back = SendBack(self.random.choice(names), self.refusing(), times=self.random.randint(1, 2))
        return Stage(self.worker(levels=levels), critical=self.random.random() < 0.3, send_back=back)

    def name(self, kind: str) -> str:
        self._number += 1
        return f"{kind}{self._number}"

    def planner(self, skills: list[str | None]) -> Agent:
        plans = [self.plan(skills) for _ in range(self.random.randint(1, 4))]
        if self.random.random() < 0.3:
            plans.append(self.random.choice(plans))
        fails = self.random.choice([0, 0, 0, 0, 1, 2])
        unread = self.random.choice(["no plan", 7, ValueError("no plan")])
        number = 0

        def plan(request: Request) -> Any:
            nonlocal number
            if request.attempt <= fails:
                if isinstance(unread, Exception):
                    raise unread
                return unread
            chosen = plans[request.round - 1] if request.round <= len(plans) else Plan()
            with self._lock:
                marked: list[Subtask] = []
                for subtask in chosen.subtasks:
                    number += 1
                    marked.append(subtask.model_copy(update={"priority": number}))
                made = Plan(subtasks=tuple(marked))
                account = request.idempotency_key.rpartition("/")[0].removesuffix("/work")
                self.planned.append(Planned(account, request.round, request.attempt, made))
            return made

        return Agent(self.name("planner"), run=plan, attempts=self.random.randint(1, 2))

    def plan(self, skills: list[str | None]) -> Plan:
        ids = self.random.sample(["a", "b", "c", "d", "e"], self.random.randint(0, 4))
        subtasks: list[Subtask] = []
        for place, id_ in enumerate(ids):
            more: dict[str, Any] = {}
            if "replaces" in Subtask.model_fields and self.random.random() < 0.2:
                more["replaces"] = (self.random.choice(["a", "b", "c"]),)
            needs = [need for need in ids[:place] if self.random.random() < 0.25]
            if self.random.random() < 0.05:
                needs.append("elsewhere")
            subtasks.append(
                Subtask(
                    id=id_,
                    goal=self.random.choice(["do it", "Do  it", "look", "write"]),
                    inputs=self.random.choice([{}, {}, {"of": "one"}, {"of": "two"}]),
                    skill=self.random.choice(skills) if self.random.random() < 0.4 else None,
                    depends_on=tuple(needs),
                    share=self.random.choice([None, None, None, 0.5]),
                    **more,
                )
            )
        return Plan(subtasks=tuple(subtasks))

    def worker(self, *, levels: int, fallback: bool = True) -> Agent:
        name = self.name("worker")
        more: dict[str, Any] = {
            "attempts": self.random.choice([1, 1, 2]),
            "skills": self.random.choice([(), ("art",), ("craft",)]),
            "copies": self.random.choice([None, None, 1, 2]),
            "guards": [self.own_guard(_OF_AGENTS)] if self.random.random() < 0.15 else [],
        }
        if fallback and self.random.random() < 0.2:
            more["fallback"] = self.worker(levels=1, fallback=False)
        if levels > 1 and self.random.random() < 0.5:
            return Agent(name, run=self.nested(levels=levels - 1, narrowed=more).compile(), **more)
        if self.random.random() < 0.3:
            return Agent(name, model=self.model(), expected_cost=CALL, **more)
        return Agent(name, run=self.function(name), output=self.random.choice([None, None, str]), **more)

    def nested(self, *, levels: int, narrowed: dict[str, Any]) -> _Graph:
        """Return a team for an agent; where limits of its own could be wider, the agent narrows it by intent."""
        before, self.has_caps = self.has_caps, self.has_caps and self.random.random() < 0.7
        if self.has_caps:
            narrowed |= {"budget_share": 1, "timeout": 10_000}
        graph = self.team(self.name("team"), levels=levels)
        self.has_caps = before
        return graph

    def function(self, name: str) -> Callable[[Request], Any]:
        salt = self.random.random()
        behaviours = self.random.choices(["answer", "raise", "nothing", "number"], weights=[6, 2, 1, 1], k=6)

        def work(request: Request) -> Any:
            given = request.subtask.inputs if request.subtask else {}
            inputs = {name: value for name, value in given.items() if name != "event"}  # it has an id of its own
            text = f"{salt}{request.goal}{inputs}{request.attempt}"
            behaviour = behaviours[crc32(text.encode()) % len(behaviours)]
            if behaviour == "raise":
                raise RuntimeError(f"{name} cannot")
            return {"answer": f"{name} did it", "nothing": None, "number": 7}[behaviour]

        return work

    def model(self) -> ScriptedModel:
        fails = self.random.random() < 0.2
        reply = RuntimeError("no connection") if fails else "said"
        return ScriptedModel(replies=lambda _: reply, input_tokens=CALL - 20, output_tokens=20, max_tokens=20)

    def synthesizer(self) -> Agent | None:
        kind = self.random.choice(["none", "gather", "gather", "raise", "nothing", "model"])
        if kind == "none":
            return None
        if kind == "model":
            return Agent(self.name("writer"), model=self.model(), expected_cost=CALL)

        def write(request: Request) -> Any:
            if kind == "raise":
                raise RuntimeError("cannot write")
            return None if kind == "nothing" else sorted(str(piece.value) for piece in request.results)

        return Agent(self.name("writer"), run=write, attempts=self.random.randint(1, 2))

    def guarded(self, name: str, more: Sequence[Callable[[], Guard]] = ()) -> dict[str, Any]:
        """Return the guards of a team, and the reviewers that they name."""
        guards = self.guards(name, more)
        if guards and self.random.random() < 0.3:
            guards.append(self.review())
        reviewers = [self.reviewer(str(one.review)) for one in reviewing(guards or ())]
        plain = [one for one in guards or () if isinstance(one, Reviewed) and "handoff" in one.gates]
        is_known = all(agent.kind == "function" for head in reviewers for agent in head.fallback_chain)
        if is_known and any(one.unreviewed == "trip" for one in plain):
            self.reviewed.add(name)
        return {"guards": guards, "reviewers": reviewers}

    def review(self) -> Guard:
        """Return a guard that names a reviewer of its own."""
        name = self.name("reviewer")
        unreviewed: Any = self.random.choice(["trip", "trip", "pass"])
        at: Any = self.random.choice(["handoff", "handoff", "exit", ("handoff", "exit")])
        one = Reviewed(name, "Is it good?", on_trip=self.trip(may_retry=True), at=at, unreviewed=unreviewed)
        made: list[Callable[[], Guard]] = [
            lambda: one,
            lambda: one,
            lambda: Confidence(0.7, missing="trip", on_trip=self.trip(may_retry=True), review=name),
            lambda: Trust(flag="trip", on_trip=self.trip(may_retry=True), review=name, unreviewed=unreviewed),
            lambda: AnyOf((one, Schema(check=self.refusing()))),
            lambda: AllOf((self.own_guard(("handoff",)), one)),
        ]
        return self.random.choice(made)()

    def reviewer(self, name: str) -> Agent:
        """Return an agent that approves, refuses, fails, or answers what is no opinion."""
        salt, refuses = self.random.random(), self.random.choice([0, 3, 6])
        more: dict[str, Any] = {"attempts": self.random.randint(1, 2)}
        if self.random.random() < 0.2:
            more["fallback"] = self.reviewer(self.name("reviewer"))
        if self.random.random() < 0.2:
            reply = '{"approved": true}' if self.random.random() < 0.7 else "no opinion"
            model = ScriptedModel(replies=lambda _: reply, input_tokens=CALL - 20, output_tokens=20, max_tokens=20)
            return Agent(name, model=model, expected_cost=CALL, integrity="inherits", **more)

        def judge(request: Request) -> Any:
            assert request.review is not None
            assert request.answer is not None
            shown: Any = request.answer.value  # beside its messages and events, whose ids are random
            value = shown["value"] if isinstance(shown, dict) and "value" in shown else shown
            text = f"{salt}{value}{request.review.agent}{request.round}{request.tries}"
            digest = crc32(text.encode()) % 10
            if digest == 9:
                raise RuntimeError("no idea")
            if digest == 8:
                return "it is good"
            with self._lock:
                self.approved.update([request.review.result] if digest >= refuses else [])
            return Opinion(approved=digest >= refuses, reason="not good enough")

        return Agent(name, run=judge, **more)

    def guards(self, name: str, more: Sequence[Callable[[], Guard]] = ()) -> list[Guard] | None:
        kind = self.random.random()
        if kind < 0.2:
            return None
        if kind < 0.35:
            return []
        makers: list[Callable[[], Guard]] = [
            lambda: Depth(self.random.randint(0, 4), on_trip=self.trip()),
            *((lambda: self.budget(name), self.deadline) if self.has_caps else ()),
            lambda: Convergence(self.random.randint(1, 3), on_trip=self.trip(may_retry=True)),
            lambda: Limits(subtasks=self.random.randint(0, 6), on_trip=self.trip()),
            lambda: Schema(check=self.refusing(), on_trip=self.trip(may_retry=True)),
            self.own_guard,
            self.own_guard,
            lambda: Cycle(on_trip=self.trip()),
            lambda: Confidence(0.7, missing=self.random.choice(["pass", "trip"]), on_trip=self.trip(may_retry=True)),
            lambda: Repetition(self.random.randint(1, 3), on_trip=self.trip(may_retry=True)),
            lambda: Trust({"missing"}, flag="trip", on_trip=self.trip(may_retry=True)),
            self.breaker,
            self.side_budget,
            self.combined,
            *more,
        ]
        return [make() for make in self.random.sample(makers, self.random.randint(1, 4))]

    def breaker(self) -> Guard:
        self.is_steady = False  # which attempts have failed before depends on what is at work at a time
        if self.random.random() < 0.5:
            return Breaker(failures=self.random.randint(1, 3), on_trip=self.trip())
        return Breaker(rate=0.5, least=self.random.randint(1, 2), pause=0.1, on_trip=self.trip())

    def side_budget(self) -> Guard:
        self.is_steady = False
        per: Any = self.random.choice(["agent", "task"])
        return Budget(calls=self.random.choice([0, 1, 4]), per=per, on_trip=self.trip())

    def combined(self) -> Guard:
        first, second = self.own_guard(("handoff",)), self.own_guard(("handoff",))
        made: list[Callable[[], Guard]] = [
            lambda: AllOf((first, second)),
            lambda: Only(first, categories={"financial"}),  # which the task has not
            lambda: AnyOf((Schema(check=self.refusing(), on_trip=self.trip(may_retry=True)), second)),
        ]
        return self.random.choice(made)()

    def trip(self, *, may_retry: bool = False) -> Any:
        kinds: list[Any] = [Finish(), Escalate(), Refuse(), Finish()]
        return self.random.choice([*kinds, Retry(self.random.randint(0, 2))] if may_retry else kinds)

    def budget(self, name: str) -> Guard:
        tokens = self.random.choice([0, CALL, 4 * CALL, 10 * CALL])
        self.is_steady = False
        self.budgets[name] = tokens
        return Budget(tokens=tokens, reserve=self.random.choice([0, 0.2, 0.5]), on_trip=self.trip())

    def deadline(self) -> Guard:
        self.is_steady = False
        return Deadline(self.random.choice([0.05, 0.5, 30]), on_trip=self.trip())

    def refusing(self) -> Callable[[Any], str | None]:
        salt, part = self.random.random(), self.random.choice([0, 3, 6])

        def check(value: Any) -> str | None:
            return "not good enough" if crc32(f"{salt}{value}".encode()) % 10 < part else None

        return check

    def own_guard(self, gates: tuple[Gate, ...] = _GATES) -> Guard:
        at = self.random.choice(gates)
        salt, part = self.random.random(), self.random.choice([2, 5, 10])

        def refuses(view: Any) -> str | None:
            told = getattr(view.subject, "value", None) or getattr(view.subject, "goal", None) or "plan"
            return "I say no" if crc32(f"{salt}{told}{view.round}".encode()) % 10 < part else None

        gates_: tuple[Gate, ...] = ("round", "exit") if at == "round" else (at,)  # not every pattern plans
        return guard(at=gates_, on_trip=self.trip(may_retry=at in _ANSWERED))(refuses)


def _with_work(agent: Agent, wrapped: Callable[[Work, str], Work]) -> Agent:
    """Return an agent whose function does more; a model and a team do not."""
    return replace(agent, run=wrapped(agent.run, agent.name)) if agent.kind == "function" else agent
