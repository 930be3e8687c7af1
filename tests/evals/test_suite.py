"""Suites from YAML, and the problems that are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from guardgraph.evals import Case, Suite, load_suite
from guardgraph.state import BadInput, Task
from tests.evals.answering import suite_of

GOOD = """
name: research
cases:
  - id: budget
    task: How do I keep a team inside its budget?
    expected_facts: [Budget, "2.00"]
    tags: [smoke]
  - id: refused
    task: {goal: Drop the table., stakes: high}
    expected_status: refused
"""


def suite_in(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_a_suite(tmp_path: Path) -> None:
    suite = load_suite(suite_in(tmp_path, GOOD))

    assert suite.name == "research"
    assert [case.id for case in suite.cases] == ["budget", "refused"]
    assert suite.cases[0].expected_facts == ("Budget", "2.00")
    assert suite.cases[1].task == Task(goal="Drop the table.", id="refused", stakes="high")


def test_a_suite_without_a_name_is_named_after_its_file(tmp_path: Path) -> None:
    assert load_suite(suite_in(tmp_path, "cases: [{id: a, task: b}]")).name == "suite"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cases: [{id: a, task: b, expected_fact: [c]}]", r"case 'a', field `expected_fact`: Extra inputs"),
        ("cases: [{id: a, task: b}, {task: c}]", r"case 2, field `id`: Field required"),
        ("cases: [{id: a}]", r"case 'a', field `task`: Field required"),
        ("cases: [{id: a, task: ''}]", r"case 'a', field `task\.goal`: String should have at least 1"),
        ("cases: [{id: a, task: '  '}]", r"case 'a', field `task\.goal`: the goal is empty"),
        (
            "cases: [{id: a, task: b, expected_status: done}]",
            r"case 'a', field `expected_status`: .*'completed'.*'done'",
        ),
        (
            "cases: [{id: a, task: b, expected_facts: c}]",
            r"case 'a', field `expected_facts`: Input should be a list, got 'c'",
        ),
        (
            "cases: [{id: a, task: b, expected_facts: [0.2]}]",
            r"case 'a', field `expected_facts\.0`: .* string, got 0\.2",
        ),
        ("cases: [{id: 1, task: b}]", r"case 1, field `id`: .* string, got 1"),
        ("cases: [b]", r"case 1, Input should be .*, got 'b'"),
        ("cases: [{id: a, task: b}, {id: a, task: c}]", r"field `cases`: several cases have the id 'a'"),
        ("cases: [{id: a, task: b}]\nnames: x", r"field `names`: Extra inputs are not permitted"),
        ("name: 7\ncases: [{id: a, task: b}]", r"field `name`: .* string, got 7"),
        ("name: x", r"field `cases`: Field required"),
        ("cases: []", r"field `cases`: a suite needs at least one case"),
    ],
)
def test_a_problem_is_reported_with_file_case_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=rf"suite\.yaml: {complaint}"):
        load_suite(suite_in(tmp_path, text))


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    path = suite_in(tmp_path, "cases: [{id: a}, {id: b, task: c, tag: d}]")

    with pytest.raises(BadInput, match=r"case 'a', field `task`") as caught:
        load_suite(path)

    assert len(str(caught.value).splitlines()) == 2


def test_the_fingerprint_follows_tasks_and_expectations() -> None:
    same = Suite(name="s", cases=(Case(id="a", task=Task(goal="x")),))
    twin = Suite(name="s", cases=(Case(id="a", task=Task(goal="x")),))
    other = Suite(name="s", cases=(Case(id="a", task=Task(goal="x"), expected_facts=("y",)),))

    assert same.fingerprint == twin.fingerprint
    assert same.fingerprint != other.fingerprint
    assert len(same.fingerprint) == 64


def test_the_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    text = "cases: [{id: a, task: {goal: b, categories: [safety, financial]}, tags: [z, y, x]}]"

    assert load_suite(suite_in(tmp_path, text)).fingerprint == (
        "bd2d0b268a65279b23f786b6a02841f1a0a87c57626c8432bba3656423cbea1b"
    )


def test_cases_are_chosen_by_tag(tmp_path: Path) -> None:
    suite = load_suite(suite_in(tmp_path, GOOD))

    assert [case.id for case in suite.tagged("smoke", "other").cases] == ["budget"]
    with pytest.raises(BadInput, match=r"suite 'research' has no case tagged 'slow' \(tags: smoke\)"):
        suite.tagged("slow")


def test_a_suite_built_in_python_refuses_an_id_twice() -> None:
    with pytest.raises(ValidationError, match="several cases have the id 'a'"):
        suite_of("a", "b", "a")
