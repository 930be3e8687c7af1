"""Which checkpoints are kept, decided on facts alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.state import BadInput
from guardgraph.storage import Retention
from guardgraph.storage.retention import CheckpointKey, StoredCheckpoint, lineage, with_ancestors

NOW = datetime(2030, 1, 31, tzinfo=UTC)


def checkpoint(
    number: int, parent: int | None, *, days: float = 0, namespace: str = "", **facts: Any
) -> StoredCheckpoint:
    parent_id = None if parent is None else f"{parent:02}"
    return StoredCheckpoint(namespace, f"{number:02}", parent_id, NOW - timedelta(days=days), **facts)


def line(count: int, **facts: Any) -> list[StoredCheckpoint]:
    """Return checkpoints one after the other; the newest is of today, each other a day older than the next one."""
    return [checkpoint(at, at - 1 if at else None, days=count - 1 - at, **facts) for at in range(count)]


def left(retention: Retention, checkpoints: list[StoredCheckpoint]) -> list[str]:
    gone = retention(checkpoints, NOW)
    return [f"{one.namespace}{one.checkpoint_id}" for one in checkpoints if one.key not in gone]


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(keep=2), ["03", "04"]),
        (Retention(keep=9), ["00", "01", "02", "03", "04"]),
        (Retention(older_than=timedelta(days=2)), ["02", "03", "04"]),
        (Retention(older_than=timedelta(0)), ["04"]),
        (Retention(keep=4, older_than=timedelta(days=1)), ["01", "02", "03", "04"]),
        (Retention(keep=1, older_than=timedelta(days=1)), ["03", "04"]),
    ],
)
def test_a_checkpoint_goes_only_if_no_rule_keeps_it(retention: Retention, kept: list[str]) -> None:
    assert left(retention, line(5)) == kept


def test_the_newest_is_kept_however_old_it_is() -> None:
    old = [checkpoint(0, None, days=90), checkpoint(1, 0, days=80)]

    assert left(Retention(older_than=timedelta(days=30)), old) == ["01"]


def test_forks_keep_their_heads_and_where_they_part() -> None:
    branches = [*line(4), checkpoint(4, 1), checkpoint(5, 4), checkpoint(6, 5)]

    assert left(Retention(keep=1), branches) == ["01", "03", "06"]
    assert left(Retention(keep=1, keep_forks=False), branches) == ["06"]


def test_checkpoints_of_nested_graphs_go_with_those_on_which_they_began() -> None:
    nested = [
        checkpoint(10, None, namespace="low:1", parents={"": "00"}),
        checkpoint(11, None, namespace="low:2", parents={"": "02"}),
        checkpoint(12, 11, namespace="low:2", parents={"": "02"}),
        checkpoint(13, None, namespace="low:2|in:3", parents={"": "02", "low:2": "12"}),
        checkpoint(14, None, namespace="lasting", parents={"": "00"}),
        checkpoint(15, 14, namespace="lasting", parents={"": "01"}),
    ]

    kept = left(Retention(keep=1), [*line(3), *nested])

    assert kept == ["02", "low:211", "low:212", "low:2|in:313", "lasting15"]


def test_ancestors_stay_from_which_a_delta_channel_is_rebuilt() -> None:
    found = line(6, rebuilt=frozenset({"log", "other"}))
    found[1] = found[1]._replace(stored=frozenset({"other"}), rebuilt=frozenset({"log"}))
    found[3] = found[3]._replace(stored=frozenset({"log"}), rebuilt=frozenset({"other"}))

    assert left(Retention(keep=1), found) == ["01", "02", "03", "04", "05"]
    assert left(Retention(keep=1), [one._replace(rebuilt=frozenset({"log"})) for one in found]) == ["03", "04", "05"]


def test_a_fork_takes_what_it_comes_from_and_nothing_of_other_branches() -> None:
    found = [*line(4), checkpoint(4, 1), checkpoint(5, None, namespace="low:1", parents={"": "01"})]
    by_key = {one.key: one for one in found}

    assert lineage(by_key, "04", with_work=True) == {("", "00"), ("", "01"), ("", "04")}
    assert lineage(by_key, "01", with_work=True) == {("", "00"), ("", "01"), ("low:1", "05")}
    assert lineage(by_key, "01", with_work=False) == {("", "00"), ("", "01")}


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({}, "name what is kept"),
        ({"keep": 0}, "`keep` must be at least 1, got 0"),
        ({"older_than": timedelta(-1)}, "`older_than` must not be negative"),
    ],
)
def test_rules_that_keep_nothing_are_refused(rules: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Retention(**rules)


@st.composite
def trees(draw: st.DrawFn) -> list[StoredCheckpoint]:
    count = draw(st.integers(1, 15))
    found: list[StoredCheckpoint] = []
    for number in range(count):
        parent = draw(st.integers(0, number - 1)) if number else None
        channels = draw(st.sets(st.sampled_from(["a", "b"])))
        stored = frozenset(channels)
        found.append(checkpoint(number, parent, days=count - number, stored=stored, rebuilt=frozenset("ab") - stored))
    return found


@given(trees(), st.integers(1, 5), st.booleans())
def test_what_is_kept_is_whole_whatever_the_branches(
    found: list[StoredCheckpoint],
    keep: int,
    keep_forks: bool,
) -> None:
    by_key: dict[CheckpointKey, StoredCheckpoint] = {one.key: one for one in found}
    kept = by_key.keys() - Retention(keep=keep, keep_forks=keep_forks)(found, NOW)
    heads = by_key.keys() - {("", one.parent_id) for one in found}
    chosen = {one.key for one in found[-keep:]} | (heads if keep_forks else set())

    assert chosen <= kept
    assert with_ancestors(chosen, by_key) <= kept
