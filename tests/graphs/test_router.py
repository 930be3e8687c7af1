from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Rule, pipeline, router
from guardgraph.guards import Budget, Escalate, Finish, GuardContext, Limits, Refuse, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Outcome, Reply, Request, RoutingDecision, RunEvent
from guardgraph.storage import SQLSaver


def naming(name: str, **facts: Any) -> Agent:
    """Return a worker that answers its own name."""
    return Agent(name, run=lambda request: name, **facts)


def failing(name: str, **facts: Any) -> Agent:
    def work(request: Request) -> str:
        raise ValueError(f"{name} is broken")

    return Agent(name, run=work, **facts)


BILLING, SHIPPING, GENERAL = naming("billing"), naming("shipping"), naming("general")
RULES = [Rule.keywords("refund", worker="billing")]


def classify(text: str) -> dict[str, float]:
    return {"shipping": 0.9 if "parcel" in text else 0.45, "billing": 0.4}


def build(workers: Any = (BILLING, SHIPPING), **facts: Any) -> Any:
    given: dict[str, Any] = {"fallback": GENERAL, "rules": RULES, "classifier": classify, **facts}
    return router(workers, **given)


def route(graph: Any, goal: str = "hello") -> tuple[Outcome, list[RoutingDecision]]:
    """Return the outcome of one request, and the decisions about it."""
    state = list(graph.compile().stream({"task": goal}, stream_mode="values"))[-1]
    return state["outcome"], state["routing"]


def rungs(decisions: list[RoutingDecision]) -> list[tuple[str, str | None]]:
    return [(one.rung, one.worker) for one in decisions]


@pytest.mark.parametrize(
    ("goal", "worker", "decisions"),
    [
        ("refund this", "billing", [("rule", "billing")]),
        ("my parcel", "shipping", [("classifier", "shipping")]),
        ("hello", "general", [("fallback", "general")]),
    ],
)
def test_the_first_rung_that_decides_chooses_the_worker_whose_answer_is_the_value(
    goal: str, worker: str, decisions: list[tuple[str, str]]
) -> None:
    outcome, found = route(build(), goal)

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", worker, ())
    assert rungs(found) == decisions


def test_a_model_is_asked_where_the_classifier_abstains_and_only_there() -> None:
    prompts: list[str] = []

    def reply(messages: Any) -> str:
        prompts.append(str(messages))
        return '{"worker": "billing", "reason": "it is about money", "confidence": 0.8}'

    model = Agent("dispatcher", model=ScriptedModel(replies=reply, input_tokens=50, output_tokens=10))
    able = naming("billing", skills=["invoices"])
    graph = build([able, SHIPPING], model=model)

    easy, _ = route(graph, "my parcel")
    hard, found = route(graph, "hello")

    assert (easy.value, easy.usage.calls) == ("shipping", 0)
    assert (hard.value, hard.usage.calls, hard.usage.tokens) == ("billing", 1, 60)
    assert rungs(found) == [("classifier", None), ("model", "billing")]
    assert (found[-1].reason, found[-1].confidence) == ("it is about money", 0.8)
    assert found[0].scores == {"shipping": 0.45, "billing": 0.4}
    for text in ("Choose the one worker", "invoices", "scores of a classifier", "0.45"):
        assert text in prompts[0]


def test_the_fallback_of_the_model_is_asked_the_same() -> None:
    def reply(messages: Any) -> str:
        assert "Choose the one worker" in str(messages)
        return '{"worker": "billing", "reason": "money", "confidence": 0.8}'

    def broken(messages: Any) -> str:
        raise ConnectionError("no line")

    spare = Agent("spare", model=ScriptedModel(replies=reply))
    outcome, found = route(build(model=Agent("dispatcher", model=ScriptedModel(replies=broken), fallback=spare)))

    assert (outcome.value, found[-1].reason) == ("billing", "money")


def test_a_function_may_decide_and_may_find_that_no_worker_fits() -> None:
    chosen, _ = route(build(model=Agent("model", run=lambda request: "billing")))
    none, found = route(build(model=Agent("model", run=lambda request: {"worker": None, "reason": "small talk"})))

    assert chosen.value == "billing"
    assert none.value == "general"
    assert rungs(found) == [("classifier", None), ("fallback", "general")]
    assert found[-1].reason == "small talk"


def test_a_function_that_replies_none_finds_that_no_worker_fits() -> None:
    _, found = route(build(model=Agent("model", run=lambda request: Reply(value=None))))

    assert (found[-1].worker, found[-1].reason, found[-1].problems) == ("general", "no worker fits", ())


def test_a_model_that_answers_what_is_no_worker_tries_again_with_the_reason() -> None:
    seen: list[str | None] = []

    def choose(request: Request) -> str:
        seen.append(request.feedback)
        return "sales" if request.attempt == 1 else "billing"

    outcome, found = route(build(model=Agent("model", run=choose, attempts=2)))

    assert outcome.value == "billing"
    assert seen == [None, "'sales' is no worker; choose one of 'billing', 'shipping', 'general'"]
    assert rungs(found) == [("classifier", None), ("model", "billing")]


def test_exactly_one_worker_works_and_it_sees_the_task_and_its_background_alone() -> None:
    requests: dict[str, Request] = {}

    def watching(name: str) -> Agent:
        def work(request: Request) -> str:
            requests[name] = request
            if name == "billing":
                raise ValueError("a secret of billing")
            return name

        return Agent(name, run=work)

    graph = router(
        [watching("billing"), watching("shipping")],
        fallback=watching("general"),
        rules=[Rule.keywords("parcel", worker="shipping")],
        model=Agent("model", run=lambda request: "billing"),
    ).compile()
    background = [{"kind": "background", "title": "house style", "value": "short"}]

    graph.invoke({"task": "a parcel", "background": background})
    assert list(requests) == ["shipping"]
    requests.clear()
    graph.invoke({"task": "money", "background": background})

    assert list(requests) == ["billing", "general"]
    for request in requests.values():
        assert [piece.title for piece in request.context] == ["house style"]
        assert "secret" not in request.model_dump_json()


def test_the_fallback_worker_may_be_one_of_the_workers() -> None:
    rules = [Rule.keywords("refund", worker=BILLING), Rule.keywords("hello", worker=GENERAL)]

    outcome, found = route(router([BILLING, GENERAL], fallback=GENERAL, rules=rules), "hello")

    assert outcome.value == "general"
    assert rungs(found) == [("rule", "general")]


def test_a_worker_more_changes_no_route_of_the_others() -> None:
    goals = ("refund this", "my parcel", "hello")
    before = [route(build(), goal) for goal in goals]
    larger = build([BILLING, SHIPPING, naming("sales")], rules=[*RULES, Rule.keywords("offer", worker="sales")])

    assert [(outcome.value, rungs(found)) for outcome, found in before] == [
        (outcome.value, rungs(found)) for outcome, found in (route(larger, goal) for goal in goals)
    ]
    assert route(larger, "make me an offer")[0].value == "sales"
    assert set(larger.nodes) - set(build().nodes) == {"sales"}


async def test_decisions_are_stored_with_the_thread_and_emitted_as_events(tmp_path: Path) -> None:
    events: list[RunEvent] = []
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with Runner(url, graphs={"desk": build()}, on_event=events.append) as runner:
        runner.run("desk", {"task": "refund this"}, thread_id="t")
    with Runner(url) as runner:  # which does not know the graph
        stored = runner.status("t").state["routing"]

    assert stored == [
        RoutingDecision(
            worker="billing",
            rung="rule",
            reason="rule 'keywords: refund' matched 'refund'",
            rule="keywords: refund",
            matched="refund",
            trusted=True,
            run_id=events[0].run_id,
        )
    ]
    (routed,) = [event for event in events if event.kind == "routed"]
    assert (routed.path, routed.data["worker"], routed.data["matched"]) == (("router",), "billing", "refund")


def test_the_next_request_on_a_thread_has_decisions_of_its_own() -> None:
    with SQLSaver.from_url("sqlite://") as saver:
        graph = build(model=Agent("model", run=lambda request: "billing")).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}}
        graph.invoke({"task": "hello"}, config)
        first = graph.get_state(config).values["routing"]
        graph.invoke({"task": "my parcel"}, config)
        second = graph.get_state(config).values["routing"]

    assert rungs(first) == [("classifier", None), ("model", "billing")]
    assert rungs(second) == [("classifier", "shipping")]
    assert first[0].run_id != second[0].run_id


def test_routing_the_same_way_async_and_as_a_worker_of_another_team() -> None:
    inner = Agent("desk", run=build(name="desk").compile())
    outer = router([inner], fallback=GENERAL, rules=[Rule.when(lambda task: True, worker=inner, name="any")])

    assert asyncio.run(build().compile().ainvoke({"task": "my parcel"}))["outcome"].value == "shipping"
    assert route(outer, "refund this")[0].value == "billing"


def verdict_at(gate: Any, on_trip: Any, name: str = "billing") -> Any:
    @guard(at=gate, on_trip=on_trip)
    def forbids(view: GuardContext) -> str | None:
        subject: Any = view.subject
        skill = subject.subtasks[0].skill if gate == "round" else view.agent and view.agent.name
        return f"not {name}" if skill == name else None

    return forbids


@pytest.mark.parametrize("gate", ["round", "dispatch"])
def test_a_worker_that_a_guard_stops_is_replaced_by_the_fallback(gate: str) -> None:
    outcome, found = route(build(guards=[verdict_at(gate, Finish())]), "refund this")

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "general", ())
    assert rungs(found) == [("fallback", "general")]
    assert found[0].problems == ("'billing' was not sent the request: not billing",)
    assert found[0].matched == "refund"


def test_the_reason_of_a_fallback_is_not_that_of_the_rung_which_chose_another_worker() -> None:
    _, found = route(
        build(guards=[verdict_at("dispatch", Finish())], classifier=lambda text: {"billing": 0.9}), "hello"
    )

    assert (found[0].worker, found[0].rung, found[0].scores) == ("general", "fallback", {"billing": 0.9})
    assert (found[0].reason, found[0].confidence) == ("'billing' was not sent the request: not billing", None)


@pytest.mark.parametrize(
    ("gate", "on_trip", "status"),
    [("round", Escalate(), "escalated"), ("round", Refuse(), "refused"), ("dispatch", Escalate(), "escalated")],
)
def test_a_guard_that_ends_the_run_ends_it(gate: str, on_trip: Any, status: str) -> None:
    outcome, _ = route(build(guards=[verdict_at(gate, on_trip)]), "refund this")

    assert (outcome.status, outcome.stopped_by, outcome.value) == (status, "forbids", None)


def test_a_guard_of_handoff_gives_the_answer_back_then_the_fallback_works() -> None:
    tries: list[str | None] = []

    def work(request: Request) -> str:
        tries.append(request.feedback)
        return "billing"

    guards = [verdict_at("handoff", Retry(1))]
    outcome, found = route(build([Agent("billing", run=work), SHIPPING], guards=guards), "refund this")

    assert tries == [None, "not billing"]
    assert outcome.value == "general"
    assert found[-1].reason == "'billing' failed: not billing"


def test_a_worker_has_guards_of_its_own_which_judge_no_other_one() -> None:
    sees: list[str] = []

    @guard(at=("dispatch", "handoff"), on_trip=Finish())
    def small_claims(view: GuardContext) -> str | None:
        sees.append(f"{view.gate} {view.agent and view.agent.name}")
        return "too large" if view.gate == "dispatch" and "1000" in view.subject.goal else None

    graph = build([naming("billing", guards=[small_claims]), SHIPPING])

    assert route(graph, "my parcel")[0].value == "shipping"
    assert sees == []
    assert route(graph, "refund 10")[0].value == "billing"
    assert sees == ["dispatch billing", "handoff billing"]
    outcome, found = route(graph, "refund 1000")
    assert (outcome.status, outcome.value) == ("completed", "general")
    assert found[-1].problems == ("'billing' was not sent the request: too large",)


def test_a_draft_that_a_guard_of_exit_refuses_goes_back_to_the_worker() -> None:
    def work(request: Request) -> str:
        return "with a price" if request.feedback else "cheap"

    @guard(at="exit", on_trip=Retry(1))
    def names_a_price(view: GuardContext) -> str | None:
        return None if "price" in str(view.subject.value) else "name the price"

    outcome, _ = route(build([Agent("billing", run=work), SHIPPING], guards=[names_a_price]), "refund this")

    assert (outcome.status, outcome.value) == ("completed", "with a price")


def model_agent(name: str, **facts: Any) -> Agent:
    return Agent(name, model=ScriptedModel(replies=lambda _: "said", input_tokens=50, output_tokens=10), **facts)


@pytest.mark.parametrize("attempts", [1, 2])
def test_where_the_budget_is_spent_a_fallback_that_is_a_function_still_answers(attempts: int) -> None:
    worker = model_agent("billing", output=int, attempts=attempts)  # its answer is no number

    outcome, found = route(build([worker, SHIPPING], guards=[Budget(calls=1, reserve=0)]), "refund this")

    assert (outcome.status, outcome.value, outcome.usage.calls) == ("completed", "general", 1)
    assert rungs(found) == [("rule", "billing"), ("fallback", "general")]


def test_where_the_model_has_spent_the_budget_the_fallback_gets_what_a_paid_worker_cannot_do() -> None:
    chooser = Agent("model", model=ScriptedModel(replies=lambda _: '{"worker": "billing"}'))
    graph = build([model_agent("billing"), SHIPPING], model=chooser, guards=[Budget(calls=1, reserve=0)])

    outcome, found = route(graph)

    assert (outcome.status, outcome.value, outcome.usage.calls) == ("completed", "general", 1)
    assert rungs(found) == [("classifier", None), ("fallback", "general")]
    assert found[-1].problems == ("'billing' was not sent the request: no calls left",)


def test_a_worker_that_the_budget_stops_is_followed_by_a_fallback_that_is_a_function() -> None:
    paid = ScriptedModel(replies=lambda _: "said", input_tokens=50, output_tokens=10)

    def work(request: Request) -> str:
        return "".join(str(paid.invoke(request.goal).content) for _ in range(2))

    graph = build([Agent("billing", run=work, output=int), SHIPPING], guards=[Budget(calls=1, reserve=0)])
    outcome, found = route(graph, "refund this")

    assert (outcome.status, outcome.value, outcome.usage.calls) == ("completed", "general", 1)
    assert rungs(found) == [("rule", "billing"), ("fallback", "general")]


def test_a_model_that_has_spent_the_budget_on_garbage_is_followed_by_the_fallback() -> None:
    outcome, found = route(build(model=model_agent("model"), guards=[Budget(calls=1, reserve=0)]))

    assert (outcome.status, outcome.value, outcome.usage.calls) == ("completed", "general", 1)
    assert rungs(found) == [("classifier", None), ("fallback", "general")]


def test_without_a_call_left_from_above_functions_still_work_and_the_model_is_not_asked() -> None:
    desk = Agent("desk", run=build(model=model_agent("model")).compile(), budget_share=0.5)
    graph = pipeline([desk], guards=[Budget(calls=1, reserve=0)]).compile()

    for goal, worker in (("refund this", "billing"), ("hello", "general")):
        outcome = graph.invoke({"task": goal})["outcome"]
        assert (outcome.status, outcome.value, outcome.usage.calls) == ("completed", worker, 0)


def test_a_request_that_nobody_may_work_on_gives_the_reason() -> None:
    chooser = Agent("model", model=ScriptedModel(replies=lambda _: '{"worker": "billing"}'))
    paid: dict[str, Any] = {"fallback": model_agent("general"), "guards": [Budget(calls=1, reserve=0)]}

    outcome, found = route(build([model_agent("billing"), SHIPPING], model=chooser, **paid))

    assert (outcome.status, outcome.stopped_by) == ("failed", "Budget")
    assert outcome.reason == "no calls left"
    assert rungs(found)[-1] == ("fallback", None)
    assert [problem.partition(":")[0] for problem in found[-1].problems] == [
        "'billing' was not sent the request",
        "'general' was not sent the request",
    ]


def test_a_small_limit_of_visits_ends_the_run_with_the_reason() -> None:
    outcome, _ = route(build([failing("billing", attempts=5), SHIPPING], guards=[Limits(visits=2)]), "refund this")

    assert (outcome.status, outcome.stopped_by) == ("failed", "Limits")
    assert [gap.reason for gap in outcome.gaps] == ["ValueError: billing is broken"]


def test_the_drawing_shows_where_it_is_decided() -> None:
    edges = {
        (edge.source, edge.target)
        for edge in build(model=Agent("model", run=str), guards=[]).compile().get_graph().edges
    }

    for edge in [
        ("guard_admission", "guard_dispatch"),
        ("guard_dispatch", "model"),
        ("model", "guard_dispatch"),
        *(("guard_dispatch", name) for name in ("billing", "shipping", "general")),
        *((name, "guard_handoff") for name in ("billing", "shipping", "general")),
        ("guard_handoff", "general"),
        ("guard_handoff", "guard_exit"),
    ]:
        assert edge in edges
    assert ("guard_handoff", "billing") not in edges


@pytest.mark.parametrize(
    ("build_router", "message"),
    [
        (lambda: build([]), "a router needs at least one worker"),
        (lambda: build(BILLING), "`workers` must be a list"),
        (lambda: build(fallback=None), "`fallback` must be Agent"),
        (lambda: build(rules=[], classifier=None), "needs `rules`, a `classifier` or a `model`"),
        (lambda: build(rules=RULES[0]), "`rules` must be a list"),
        (lambda: build(rules=["refund"]), "each of `rules` must be Rule"),
        (lambda: build(model="openai:gpt-5"), "`model` must be Agent"),
        (lambda: build(rules=[Rule.keywords("a", worker="sales")]), "names the worker 'sales', which is unknown"),
        (lambda: build([BILLING, naming("billing")]), "these are used twice: 'billing'"),
        (lambda: build([BILLING, naming("general")]), "these are used twice: 'general'"),
        (lambda: build(model=naming("billing")), "these are used twice: 'billing'"),
        (lambda: build(threshold=1.2), "`threshold` must be from 0 to 1"),
        (lambda: build(margin=-1), "`margin` must be from 0 to 1"),
        (lambda: build(name=3), "`name` must be str"),
        (lambda: build([naming("handoff"), SHIPPING], rules=[]), "taken by the team's own nodes: 'handoff'"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_built(build_router: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        build_router()


@pytest.mark.parametrize(
    ("graph", "goal", "steps"),
    [
        (build(), "refund this", 5),
        (build(model=Agent("model", run=lambda request: "billing")), "hello", 7),
        (build([failing("billing"), SHIPPING]), "refund this", 7),
    ],
)
def test_a_request_takes_five_supersteps_and_two_more_for_the_model_and_for_the_fallback(
    graph: Any, goal: str, steps: int
) -> None:
    assert len(list(graph.compile().stream({"task": goal}, stream_mode="updates"))) == steps
