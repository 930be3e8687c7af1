from __future__ import annotations

from typing import Any

import pytest
from langgraph.errors import GraphInterrupt

from guardgraph.agents import Agent
from guardgraph.graphs import Rule
from guardgraph.nodes.decisions.rule import match_rules
from guardgraph.state import BadGraph, Task


def matched(rule: Rule, goal: str) -> str | None:
    found, problems = match_rules([rule], Task(goal=goal))
    assert problems == ()
    return None if found is None else found.text


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        ("I want a REFUND!", "REFUND"),
        ("money \n back, please", "money \n back"),
        ("refundable?", None),
        ("prerefund", None),
        ("a c++ job", "c++"),
        ("nothing", None),
    ],
)
def test_keywords_match_whole_words_and_phrases_in_any_case(goal: str, text: str | None) -> None:
    assert matched(Rule.keywords("refund", "money back", "c++", worker="billing"), goal) == text


def test_of_two_keywords_at_one_place_the_longer_one_matches() -> None:
    assert matched(Rule.keywords("credit", "credit card", worker="w"), "my credit card") == "credit card"


def test_a_regex_is_searched_in_any_case_unless_its_flags_differ() -> None:
    assert matched(Rule.regex(r"order #\d+", worker="w"), "where is ORDER #12?") == "ORDER #12"
    assert matched(Rule.regex(r"order #\d+", worker="w", flags=0), "where is ORDER #12?") is None


def test_a_predicate_sees_the_whole_task_and_may_name_what_it_found() -> None:
    rules = [
        Rule.when(lambda task: task.stakes == "high", worker="careful", name="stakes"),
        Rule.when(lambda task: task.inputs.get("country"), worker="local", name="country"),
    ]

    high, _ = match_rules(rules, Task(goal="g", stakes="high"))
    local, _ = match_rules(rules, Task(goal="g", inputs={"country": "NL"}))

    assert high is not None
    assert local is not None
    assert (high.rule.worker, high.text) == ("careful", "")
    assert (local.rule.worker, local.text) == ("local", "NL")


def test_the_first_rule_that_matches_wins_and_a_long_match_is_cut() -> None:
    rules = [Rule.regex("x+", worker="a"), Rule.keywords("y", worker="b"), Rule.keywords("xx", worker="c")]

    found, _ = match_rules(rules, Task(goal="y " + "x" * 500))

    assert found is not None
    assert (found.rule.worker, len(found.text)) == ("a", 200)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda task: 1 / 0, r"rule 'odd' raised ZeroDivisionError"),
        (lambda task: exit(3), r"rule 'odd' raised SystemExit"),
        (lambda task: 0.7, r"rule 'odd' returned a float, which is no bool, text or None"),
        (lambda task: ["x"], r"rule 'odd' returned a list"),
    ],
)
def test_a_predicate_that_fails_does_not_match_and_is_recorded(answer: Any, problem: str) -> None:
    rules = [Rule.when(answer, worker="a", name="odd"), Rule.keywords("g", worker="b")]

    found, problems = match_rules(rules, Task(goal="g"))

    assert found is not None
    assert found.rule.worker == "b"
    assert len(problems) == 1
    assert problem in problems[0]


def test_an_interrupt_of_a_predicate_is_none_of_its_failures() -> None:
    def ask(task: Task) -> bool:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        match_rules([Rule.when(ask, worker="a")], Task(goal="g"))


def test_a_worker_is_given_as_an_agent_or_by_name_and_a_rule_has_a_readable_name() -> None:
    def is_large(task: Task) -> bool:
        return len(task.goal) > 10

    agent = Agent("billing", run=str)

    assert Rule.keywords("a", "b", worker=agent).worker == "billing"
    assert Rule.keywords("a", "b", worker=agent).name == "keywords: a, b"
    assert Rule.regex("a+", worker=agent).name == "regex: a+"
    assert Rule.when(is_large, worker=agent).name == "is_large"


async def predicate(task: Task) -> bool:
    return True


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Rule.keywords(worker="w"), "needs at least one word"),
        (lambda: Rule.keywords("a", "  ", worker="w"), "none that is empty"),
        (lambda: Rule.keywords(3, worker="w"), "`words` must be str"),  # type: ignore[arg-type]
        (lambda: Rule.regex("(", worker="w"), r"cannot read the pattern '\('"),
        (lambda: Rule.regex("a*", worker="w"), r"'a\*' matches the empty text"),
        (lambda: Rule.regex("a", worker=None), "a rule: `worker` must be"),  # type: ignore[arg-type]
        (lambda: Rule.when("a", worker="w"), "`predicate` must be"),  # type: ignore[arg-type]
        (lambda: Rule.when(predicate, worker="w"), "must not be async"),
        (lambda: Rule.when(bool, worker="w", name=" "), "a rule needs a name"),
    ],
)
def test_what_is_no_rule_is_refused(build: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        build()
