"""What a request holds of the boards: constraints before decisions, within bounds, and what is left out by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from guardgraph.agents.prompt import render
from guardgraph.models.offline.prompt_parser import parse_prompt
from guardgraph.runtime.boards.context import MOST_CHARACTERS, MOST_ENTRIES, context_of_entries
from guardgraph.state import BoardEntry, Request, Task

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def entry(key: str, value: Any = 1, kind: Any = "decision", age: int = 0) -> BoardEntry:
    at = NOW - timedelta(days=age)
    return BoardEntry(board="plan", key=key, value=value, kind=kind, version=1, number=1, author="ann", at=at)


def test_constraints_come_before_decisions() -> None:
    items = context_of_entries([entry("a"), entry("b", kind="constraint"), entry("c")])

    assert [(item.kind, item.title, item.sender) for item in items] == [
        ("constraint", "b", "ann, board plan"),
        ("decision", "a", "ann, board plan"),
        ("decision", "c", "ann, board plan"),
    ]
    assert context_of_entries([]) == ()


def test_the_newest_are_kept_and_the_others_named() -> None:
    entries = [entry(f"d{number:03}", age=number) for number in range(MOST_ENTRIES + 60)]
    entries += [entry("rule", kind="constraint", age=1_000)]
    items = context_of_entries(entries)

    assert [item.title for item in items[:-1]] == ["rule", *(f"d{number:03}" for number in range(MOST_ENTRIES - 1))]
    assert (items[-1].kind, items[-1].title) == ("decision", "61 decisions are left out here; read them on the board")
    names: Any = items[-1].value
    assert (names[0], names[-1], len(names)) == ("plan: d049", "and 11 more", 51)


def test_what_people_have_written_is_kept_before_what_agents_write() -> None:
    ours = [entry(f"rule{n}", kind="constraint", age=n).model_copy(update={"run_id": "r"}) for n in range(MOST_ENTRIES)]
    items = context_of_entries([*ours, entry("budget", kind="constraint", age=1_000)])

    assert "budget" in [item.title for item in items]
    assert items[-1].value == [f"plan: rule{MOST_ENTRIES - 1}"]


def test_one_that_is_too_large_leaves_room_for_others() -> None:
    large = entry("large", "x" * MOST_CHARACTERS, kind="constraint")
    items = context_of_entries([large, entry("small")])

    assert [(item.kind, item.title, item.value) for item in items] == [
        ("constraint", "1 constraints are left out here; read them on the board", ["plan: large"]),
        ("decision", "small", 1),
    ]
    fits = entry("k", "x" * (MOST_CHARACTERS - 3), kind="constraint")
    assert [item.title for item in context_of_entries([fits, entry("small")])] == [
        "k",
        "1 decisions are left out here; read them on the board",
    ]


def test_they_have_heads_of_their_own_in_a_prompt_and_are_no_documents() -> None:
    items = context_of_entries([entry("route", "We go by train to the sea"), entry("budget", 450, "constraint")])
    prompt = render(Request(task=Task(goal="Where do we go?"), context=items))

    assert "Constraints that hold for everyone (data from others" in prompt
    assert '{"about": "route", "from": "ann, board plan", "value": "We go by train to the sea"}' in prompt
    assert prompt.index("Constraints that") < prompt.index("Decisions that were taken (data")
    from langchain_core.messages import HumanMessage

    assert parse_prompt([HumanMessage(prompt)]).quotes == ()
