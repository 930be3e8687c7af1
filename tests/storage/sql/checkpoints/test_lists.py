"""Lists that grow are stored by what is new in them, and always come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, PrivateAttr
from sqlalchemy import func, select

from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.checkpoints.storing import FOLD
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.tables import blobs, chunks
from tests.storage.sql.stored import config_of, store


class Note(BaseModel):
    text: str
    tags: dict[str, Any] = {}
    _secret: int = PrivateAttr(default=0)


class Loose(BaseModel):
    item: Any = "x"


class Colour(Enum):
    RED = "red"


NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
NUMBER = UUID(int=1)


@dataclass
class Line:
    text: str


def log_in(saver: SQLSaver, config: Any) -> Any:
    found = saver.get_tuple(config)
    assert found is not None
    return found.checkpoint["channel_values"]["log"]


def rows(saver: SQLSaver) -> tuple[int, int, int]:
    """Return how many chunks there are, the elements in them, and the blobs."""
    with read_transaction(saver.engine) as connection:
        count, elements = connection.execute(select(func.count(), func.sum(chunks.c.hi - chunks.c.lo))).one()
        return count, int(elements or 0), connection.execute(select(func.count()).select_from(blobs)).scalar_one()


def grown(saver: SQLSaver, steps: int, *, thread_id: str = "t") -> tuple[list[str], list[Any]]:
    log: list[str] = []
    made: list[Any] = []
    for step in range(steps):
        log = [*log, f"{step} " + "x" * 300]
        made.append(store(saver, thread_id, {"log": log}, parent=made[-1] if made else None, version=step + 1))
    return log, made


def test_each_element_is_stored_once_and_many_in_one_chunk(saver: SQLSaver) -> None:
    log, made = grown(saver, 3 * FOLD + 5)

    count, elements, values = rows(saver)
    assert (count, elements, values) == (3 + 5, len(log), len(log))
    for at in (0, 1, FOLD - 2, FOLD - 1, FOLD, 2 * FOLD, -1):
        assert log_in(saver, made[at]) == log[: at + 1 if at >= 0 else None]


def test_another_process_goes_on_with_the_same_branch(database_url: str) -> None:
    log: list[str] = []
    made: list[Any] = []
    for step in range(10):
        with SQLSaver.from_url(database_url) as saver:
            log = [*(log_in(saver, config_of("t")) if step % 2 and made else log), f"{step} " + "x" * 300]
            made.append(store(saver, "t", {"log": log}, parent=made[-1] if made else None, version=step + 1))
    with SQLSaver.from_url(database_url) as saver:
        assert [log_in(saver, config) for config in made] == [log[: step + 1] for step in range(10)]
        assert rows(saver) == (10, 10, 10)


def test_two_savers_that_append_to_one_list_keep_both(database_url: str) -> None:
    with SQLSaver.from_url(database_url) as one, SQLSaver.from_url(database_url) as other:
        log, made = grown(one, 3)
        theirs = [*log_in(other, made[-1]), "theirs" * 100]
        ours = [*log, "ours" * 100]
        forks = [store(other, "t", {"log": theirs}, parent=made[-1], version=10)]
        forks.append(store(one, "t", {"log": ours}, parent=made[-1], version=11))

        for saver in (one, other):
            assert [log_in(saver, config) for config in forks] == [theirs, ours]
            assert saver.verify("t") == []


def test_a_branch_is_only_appended_to_at_its_end_also_when_its_chunks_were_folded(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url) as one, SQLSaver.from_url(sqlite_url) as other:
        log, made = grown(one, 3)
        theirs = [*log_in(other, made[-1]), *(f"theirs {n}" * 50 for n in range(FOLD + 5))]
        ours = [*log, "ours" * 100]
        forks = [store(other, "t", {"log": theirs}, parent=made[-1], version=10)]
        forks.append(store(one, "t", {"log": ours}, parent=made[-1], version=11))

        assert [log_in(other, config) for config in forks] == [theirs, ours]


def test_a_value_that_another_saver_has_swept_is_stored_again(sqlite_url: str) -> None:
    large = "large" * 100
    with SQLSaver.from_url(sqlite_url) as one, SQLSaver.from_url(sqlite_url) as other:
        _, made = grown(one, 2)
        store(one, "t", {"log": [large]}, parent=made[-1], version=8, metadata={"run_id": "r"})
        other.delete_for_runs(["r"])
        one.put_writes(made[-1], [("log", [large])], "task")
        config = store(one, "t", {"log": [large]}, parent=made[-1], version=9)

        assert log_in(other, config) == [large]
        assert other.verify("t") == []


@pytest.mark.parametrize("is_fresh", [False, True])
def test_what_another_saver_has_deleted_is_stored_again(database_url: str, is_fresh: bool) -> None:
    with SQLSaver.from_url(database_url) as one, SQLSaver.from_url(database_url) as other:
        log, made = grown(one, 3)
        other.put_writes(made[-1], [("log", ["z" * 300])], "task")
        other.delete_thread("t")
        if is_fresh:
            grown(other, 2)
        one.put_writes(made[-1], [("log", ["z" * 300])], "task")
        config = store(one, "t", {"log": [*log, "z" * 300]}, parent=made[-1], version=9)

        assert log_in(other, config) == [*log, "z" * 300]
        assert [item.column for item in other.verify("t")] == ["parent_id"]


EDITS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "the first": lambda log: ["new" * 100, *log[1:]],
    "the last": lambda log: [*log[:-1], "new" * 100],
    "one in the middle": lambda log: [*log[:5], "new" * 100, *log[6:]],
    "removed first": lambda log: log[1:],
    "removed last": lambda log: log[:-3],
    "removed all": lambda log: [],
    "reversed": lambda log: log[::-1],
    "doubled": lambda log: log + log,
    "small": lambda log: [1],
    "no list": lambda log: tuple(log),  # type: ignore[return-value]
}


@pytest.mark.parametrize("how", EDITS)
def test_a_list_that_was_edited_comes_back_and_grows_on(sqlite_url: str, how: str) -> None:
    with SQLSaver.from_url(sqlite_url) as saver:
        log, made = grown(saver, 12)
        edited = EDITS[how](log)
        made.append(store(saver, "t", {"log": edited}, parent=made[-1], version=50))
        longer = [*edited, "more" * 100]
        made.append(store(saver, "t", {"log": longer}, parent=made[-1], version=51))

        assert [log_in(saver, config) for config in made[-3:]] == [log, edited, longer]


def test_many_edits_do_not_pile_up(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url) as saver:
        log, made = grown(saver, 10)
        for step in range(200):
            log = [*log[:-1], f"edit {step}" * 50, f"new {step}" * 50]
            made.append(store(saver, "t", {"log": log}, parent=made[-1], version=100 + step))

        assert log_in(saver, made[-1]) == log
        _, elements, values = rows(saver)
        assert values <= 10 + 2 * 200
        assert elements <= 8 * values


def change_text(message: Any) -> None:
    message.content += "!"


def change_deep(message: Any) -> None:
    message.additional_kwargs["seen"] = {"by": ["me"]}
    message.additional_kwargs["seen"]["by"].append(True)


def change_extra(message: Any) -> None:
    message.extra_field = 1


@pytest.mark.parametrize("change", [change_text, change_deep, change_extra])
@pytest.mark.parametrize("kind", [HumanMessage, AIMessage])
def test_a_message_that_was_changed_in_place_is_stored_as_it_is(sqlite_url: str, change: Any, kind: Any) -> None:
    with SQLSaver.from_url(sqlite_url) as saver:
        log = [kind(f"{n} " + "x" * 300, id=str(n), additional_kwargs={"n": {}} if n % 2 else {}) for n in range(6)]
        first = store(saver, "t", {"log": log})
        was = [message.model_copy(deep=True) for message in log]
        for at in (4, 1):
            change(log[at])
        second = store(saver, "t", {"log": [*log, kind("new")]}, parent=first, version=2)

        assert log_in(saver, first) == was
        assert log_in(saver, second) == [*log, kind("new")]


@pytest.mark.parametrize(
    ("element", "change"),
    [
        ({"a": 1}, lambda item: item.update(a=True)),
        ({"a": [1, {"b": 2}]}, lambda item: item["a"][1].update(b=2.0)),
        ([1, 2], lambda item: item.append(3)),
        ({1, 2}, lambda item: item.add(3)),
        (Line("x"), lambda item: setattr(item, "text", "y")),
        (Note(text="x"), lambda item: setattr(item, "text", "y")),
        (Note(text="x"), lambda item: item.tags.update(a=1)),
        (Note(text="x"), lambda item: setattr(item, "_secret", 5)),
        ((1, [2]), lambda item: item[1].append(3)),
        ({"at": NOON}, lambda item: item.update(at=NOON.isoformat())),
        ({"at": NOON}, lambda item: item.update(at=NOON.astimezone(timezone(timedelta(hours=2))))),
        ({"at": NOON.time()}, lambda item: item.update(at=str(NOON.time()))),
        ({"id": NUMBER}, lambda item: item.update(id=str(NUMBER))),
        ({"is": Colour.RED}, lambda item: item.update({"is": "red"})),
        ({"n": Decimal(1)}, lambda item: item.update(n=["Decimal", "1"])),
        ({"n": (1,)}, lambda item: item.update(n=["tuple", [1]])),
        (Loose(), lambda item: setattr(item, "item", np.array([1, 2]))),
        (Loose(item=NOON), lambda item: setattr(item, "item", NOON.isoformat())),
    ],
    ids=lambda item: type(item).__name__,
)
def test_any_element_that_was_changed_in_place_is_stored_as_it_is(sqlite_url: str, element: Any, change: Any) -> None:
    with SQLSaver.from_url(sqlite_url, types=(Colour, Line, Loose, Note)) as saver:
        log = ["x" * 300, element]
        first = store(saver, "t", {"log": log})
        was = repr(log)
        change(element)
        second = store(saver, "t", {"log": log}, parent=first, version=2)

        assert repr(log_in(saver, first)) == was
        assert repr(log_in(saver, second)) == repr(log)
        assert getattr(log_in(saver, second)[1], "_secret", 0) == getattr(element, "_secret", 0)


def test_with_trusted_identity_elements_are_not_compared(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url, trust_identity=True) as saver:
        log = [HumanMessage("x" * 300)]
        first = store(saver, "t", {"log": log})
        log[0].content = "changed"
        second = store(saver, "t", {"log": [*log, HumanMessage("new")]}, parent=first, version=2)

        assert [message.content for message in log_in(saver, second)] == ["x" * 300, "new"]
