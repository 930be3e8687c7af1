"""Listing checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardgraph.state import BadInput, StorageCorrupt
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.checkpoints.loading import PAGE
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.tables import checkpoints
from tests.storage.sql.stored import config_of, id_of, ids_in, store

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def test_the_newest_comes_first_over_many_pages(saver: SQLSaver) -> None:
    made = [id_of(store(saver, f"t{n % 3}")) for n in range(2 * PAGE + 5)]

    assert ids_in(saver, None) == sorted(made, reverse=True)
    assert ids_in(saver, None, limit=PAGE + 1) == sorted(made, reverse=True)[: PAGE + 1]
    assert ids_in(saver, config_of("t1")) == sorted(made[1::3], reverse=True)


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (0, 0), (1, 1), (3, 3), (4, 3)])
def test_a_limit_is_kept(saver: SQLSaver, limit: int | None, count: int) -> None:
    for _ in range(3):
        store(saver, "t")

    assert len(ids_in(saver, config_of("t"), limit=limit)) == count


def test_a_limit_counts_what_the_filter_lets_through(saver: SQLSaver) -> None:
    made = [id_of(store(saver, "t", metadata={"even": n % 2 == 0})) for n in range(PAGE + 10)]

    assert ids_in(saver, config_of("t"), filter={"even": True}, limit=PAGE // 2 + 2) == made[::2][::-1][: PAGE // 2 + 2]


def test_checkpoints_that_share_an_id_are_all_listed_once(saver: SQLSaver) -> None:
    first = store(saver, "a", {"x": 1})
    for n in range(4):
        saver.copy_thread("a", f"b{n}")

    found = [item.config.get("configurable", {})["thread_id"] for item in saver.list(None)]

    assert sorted(found) == ["a", "b0", "b1", "b2", "b3"]
    assert set(ids_in(saver, None)) == {id_of(first)}


def test_all_namespaces_are_listed_when_none_is_named(saver: SQLSaver) -> None:
    made = {id_of(store(saver, "t", namespace=name)) for name in ("", "child:1", "child:1|leaf:2")}

    assert set(ids_in(saver, config_of("t", namespace=None))) == made
    assert len(ids_in(saver, config_of("t", namespace=""))) == 1


def test_before_and_one_id_are_exact(saver: SQLSaver) -> None:
    made = [store(saver, "t") for _ in range(3)]

    assert ids_in(saver, config_of("t"), before=made[1]) == [id_of(made[0])]
    assert ids_in(saver, made[1]) == [id_of(made[1])]


@pytest.mark.parametrize(
    ("stored", "asked", "found"),
    [
        (1, 1, True),
        (1, True, False),
        (True, 1, False),
        (1, "1", False),
        (None, None, True),
        ("a%", "a_", False),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, True),
        (1.5, 1.5, True),
        ("A", "a", False),
    ],
)
def test_a_filter_compares_by_equality(saver: SQLSaver, stored: Any, asked: Any, found: bool) -> None:
    made = store(saver, "t", metadata={"fact": stored})

    assert ids_in(saver, None, filter={"fact": asked}) == ([id_of(made)] if found else [])


def test_a_key_that_is_missing_never_matches(saver: SQLSaver) -> None:
    store(saver, "t")

    assert ids_in(saver, None, filter={"missing": None}) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fact=json_values)
def test_any_json_fact_finds_its_own_checkpoint(saver: SQLSaver, fact: Any) -> None:
    saver.delete_thread("t")
    made = store(saver, "t", metadata={"fact": {"inner": fact}})
    store(saver, "t", metadata={"fact": {"other": fact}})

    assert ids_in(saver, config_of("t"), filter={"fact": {"inner": fact}}) == [id_of(made)]


def test_writes_come_back_in_the_order_in_which_they_were_applied(saver: SQLSaver) -> None:
    config = store(saver, "t")
    saver.put_writes(config, [("a", 3)], "task 1", "path 2")
    saver.put_writes(config, [("a", 1), ("b", 2)], "task 2", "path 1")

    found = saver.get_tuple(config)

    assert found is not None
    assert found.pending_writes == [("task 2", "a", 1), ("task 2", "b", 2), ("task 1", "a", 3)]


def test_a_damaged_row_is_a_typed_error_that_names_its_thread(saver: SQLSaver) -> None:
    config = store(saver, "t", {"a": "text"})
    with write_transaction(saver.engine) as connection:
        connection.execute(checkpoints.update().values(metadata=b"\x01damaged and too long to be nothing"))

    with pytest.raises(
        StorageCorrupt, match=f"checkpoint .{id_of(config)}. of thread .t. is damaged in .body."
    ) as caught:
        saver.get_tuple(config)

    assert (caught.value.thread_id, caught.value.checkpoint_id) == ("t", id_of(config))


def test_a_cursor_that_is_no_id_is_refused(saver: SQLSaver) -> None:
    with pytest.raises(BadInput, match="`checkpoint_id` holds a NUL"):
        ids_in(saver, None, before=config_of("t", checkpoint_id="a\0"))
