"""Tasks, subtasks and plans."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardgraph.state import Plan, Subtask, Task

LONGEST = 200_000


def test_a_goal_is_enough() -> None:
    task = Task(goal="Compare the three vendors")

    assert task.stakes == "normal"
    assert task.categories == frozenset()
    assert task.inputs == {}
    assert task.origin is None


def test_tasks_without_an_id_get_one_each() -> None:
    first, second = Task(goal="same"), Task(goal="same")

    assert len(first.id) == 32
    assert first.id != second.id


@pytest.mark.parametrize("goal", ["x", "x" * LONGEST, "  x  "])
def test_a_goal_is_kept_as_it_was_said(goal: str) -> None:
    assert Task(goal=goal).goal == goal


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, r"goal\n  Field required"),
        ({"goal": ""}, r"goal\n  String should have at least 1 character"),
        ({"goal": "x" * (LONGEST + 1)}, r"goal\n  String should have at most 200000 characters"),
        ({"goal": " \n\t"}, "the goal is empty; say what is to be done"),
        ({"goal": 7}, r"goal\n  Input should be a valid string"),
        ({"goal": "x", "id": ""}, r"id\n  String should have at least 1 character"),
        ({"goal": "x", "id": "i" * 201}, r"id\n  String should have at most 200 characters"),
        ({"goal": "x", "origin": "o" * (LONGEST + 1)}, r"origin\n  String should have at most 200000 characters"),
        ({"goal": "x", "stakes": "huge"}, r"stakes\n  Input should be 'low', 'normal' or 'high'"),
        ({"goal": "x", "categories": ["fun"]}, r"Input should be 'financial', 'safety', 'personal' or 'irreversible'"),
        ({"goal": "x", "inputs": {"at": object()}}, r"(?s)inputs.*input was not a valid JSON value"),
        ({"gaol": "x", "goal": "x"}, r"gaol\n  Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Task.model_validate(fields)


@pytest.mark.parametrize("length", [1, 200])
def test_an_id_at_its_bounds_passes(length: int) -> None:
    assert len(Task(goal="x", id="i" * length).id) == length


LONG = 20_000  # what takes quadratic time or a stack frame each runs into the time limit of the tests


def subtask(id_: str, *needs: str) -> Subtask:
    return Subtask(id=id_, goal=f"do {id_}", depends_on=needs)


def chain(length: int) -> list[Subtask]:
    return [subtask(f"s{place}", f"s{place + 1}") for place in range(length)]


@st.composite
def layered(draw: st.DrawFn) -> list[Subtask]:
    """Subtasks that depend on earlier ones only, in any order."""
    size = draw(st.integers(0, 12))
    made = [
        subtask(str(place), *map(str, draw(st.sets(st.integers(0, place - 1))) if place else ()))
        for place in range(size)
    ]
    return draw(st.permutations(made))


@st.composite
def arrows(draw: st.DrawFn) -> list[Subtask]:
    """Subtasks that depend on any others, on themselves, or on some of an earlier round."""
    size = draw(st.integers(1, 8))
    return [subtask(str(place), *map(str, draw(st.lists(st.integers(0, size + 1))))) for place in range(size)]


def can_be_ordered(subtasks: list[Subtask]) -> bool:
    waiting = {one.id: set(one.depends_on) for one in subtasks}
    while ready := [id_ for id_, needs in waiting.items() if not needs & waiting.keys()]:
        for id_ in ready:
            del waiting[id_]
    return not waiting


@given(layered())
def test_what_depends_on_earlier_work_alone_is_a_plan(subtasks: list[Subtask]) -> None:
    assert list(Plan(subtasks=tuple(subtasks)).subtasks) == subtasks


@given(arrows())
def test_a_plan_is_refused_exactly_when_it_cannot_be_ordered(subtasks: list[Subtask]) -> None:
    try:
        Plan(subtasks=tuple(subtasks))
    except ValidationError as error:
        assert not can_be_ordered(subtasks)
        names = str(error).split("in a cycle: ")[1].split(" [type=")[0].split(" -> ")
        needs = {one.id: one.depends_on for one in subtasks}
        assert names[0] == names[-1]
        assert all(after in needs[before] for before, after in pairwise(names))
    else:
        assert can_be_ordered(subtasks)


def test_an_empty_plan_is_a_plan() -> None:
    assert Plan().subtasks == ()


def test_a_dependency_on_an_earlier_round_is_no_mistake() -> None:
    assert Plan(subtasks=(subtask("b", "done-before"),)).subtasks[0].depends_on == ("done-before",)


@pytest.mark.parametrize(
    ("subtasks", "cycle"),
    [
        ([subtask("a", "a")], "a -> a"),
        ([subtask("a", "b"), subtask("b", "a")], "a -> b -> a"),
        ([subtask("x", "a"), subtask("a", "b"), subtask("b", "c"), subtask("c", "a")], "a -> b -> c -> a"),
    ],
)
def test_a_cycle_is_refused_and_named(subtasks: list[Subtask], cycle: str) -> None:
    with pytest.raises(ValidationError, match=f"subtasks depend on each other in a cycle: {cycle} "):
        Plan(subtasks=tuple(subtasks))


def test_duplicate_ids_are_refused_and_named() -> None:
    with pytest.raises(ValidationError, match="subtask ids must be unique, these are used twice: 'a', 'b'"):
        Plan(subtasks=tuple(map(subtask, "babca")))


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        (None, []),
        ({}, []),
        ([], []),
        ([{"id": "a", "goal": "g"}], ["a"]),
        ({"subtasks": [{"id": "a", "goal": "g"}], "reasoning": "so"}, ["a"]),
        (Plan(subtasks=(subtask("a"),)), ["a"]),
    ],
)
def test_a_plan_or_a_bare_list_of_subtasks_is_read_as_a_plan(answer: object, ids: list[str]) -> None:
    assert [one.id for one in Plan.of(answer).subtasks] == ids


@pytest.mark.parametrize("answer", ["", "text", 7, ["text"], {"subtasks": "x"}, [{"id": "a"}], {"plan": []}])
def test_what_is_no_plan_is_not_read_as_one(answer: object) -> None:
    with pytest.raises(ValidationError):
        Plan.of(answer)


def test_ids_that_are_used_get_the_number_and_what_depends_on_them_follows() -> None:
    plan = Plan(subtasks=(subtask("a"), subtask("b", "a", "before"), subtask("c", "b")))

    apart = plan.with_fresh_ids({"a", "c", "before"}, 2)

    assert [(one.id, one.depends_on) for one in apart.subtasks] == [
        ("a~2", ()),
        ("b", ("a~2", "before")),
        ("c~2", ("b",)),
    ]
    assert plan.with_fresh_ids(set(), 2) == plan


NAMES = st.sampled_from(["a", "a~2", "a~3", "x" * 100, "x" * 98 + "~2", "y" * 99])


@given(st.lists(NAMES, unique=True), st.sets(NAMES), st.integers(1, 12))
def test_a_plan_set_apart_is_a_plan_that_repeats_no_id(names: list[str], used: set[str], number: int) -> None:
    apart = Plan(subtasks=tuple(map(subtask, names))).with_fresh_ids(used, number)

    assert Plan.model_validate(apart.model_dump()) == apart
    assert used.isdisjoint(one.id for one in apart.subtasks)
    assert [one.goal for one in apart.subtasks] == [f"do {name}" for name in names]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_long_chain_is_taken(backwards: bool) -> None:
    links = chain(LONG)[:: -1 if backwards else 1]
    plan = Plan(subtasks=tuple(links))

    assert len(plan.subtasks) == LONG


def test_a_long_cycle_is_found() -> None:
    with pytest.raises(ValidationError, match=r"in a cycle: s0 -> s1 -> .* -> s0 "):
        Plan(subtasks=(*chain(LONG), subtask(f"s{LONG}", "s0")))


def test_many_duplicate_ids_are_found() -> None:
    with pytest.raises(ValidationError, match="these are used twice: 's0', 's1', 's10'"):
        Plan(subtasks=(*chain(LONG), *chain(LONG)))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"goal": " "}, "the goal of a subtask is empty"),
        ({"goal": ""}, r"goal\n  String should have at least 1 character"),
        ({"goal": "g" * 200_001}, r"goal\n  String should have at most 200000 characters"),
        ({"id": ""}, r"id\n  String should have at least 1 character"),
        ({"id": "i" * 101}, r"id\n  String should have at most 100 characters"),
        ({"share": 0}, r"share\n  Input should be greater than 0"),
        ({"share": 1.01}, r"share\n  Input should be less than or equal to 1"),
        ({"priority": "soon"}, r"priority\n  Input should be a valid integer"),
    ],
)
def test_a_subtask_out_of_bounds_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Subtask.model_validate({"id": "a", "goal": "g", **fields})


def test_a_subtask_at_its_bounds_passes() -> None:
    assert Subtask(id="i" * 100, goal="g" * 200_000, share=1).share == 1
