"""Versions of a graph are checked when they are declared, so before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.graphs import pipeline
from guardgraph.runs import GraphVersion, Migration, Runner
from guardgraph.runs.former_names import with_former_names
from guardgraph.runs.versions import former_names
from guardgraph.state import BadGraph
from tests.runs.versioned import World


def steps(*pairs: tuple[str | None, str]) -> list[Migration]:
    return [Migration(*pair) for pair in pairs]


@pytest.mark.parametrize(
    ("version", "migrations", "fault"),
    [
        (
            "2",
            steps(("1", "2"), ("1", "2")),
            r"Migration\('1', '2'\) and Migration\('1', '2'\) begin at the same version",
        ),
        ("3", steps(("1", "2"), ("1", "3"), ("2", "3")), "begin at the same version"),
        ("4", steps(("1", "2"), ("3", "4")), r"nothing leads from '2', where Migration\('1', '2'\) ends, to '4'"),
        ("2", steps((None, "1")), "nothing leads from '1'"),
        (None, steps(("1", "2")), "nothing leads from '2', where .* ends, to None"),
        (
            "4",
            steps(("1", "2"), ("2", "3"), ("3", "1")),
            r"cycle: Migration\('1', '2'\), Migration\('2', '3'\), Migration",
        ),
        ("3", steps(("1", "1")), "cycle"),
        ("2", steps(("2", "3")), "begins at the version that the graph has"),
        ("2", [("1", "2")], "`migrations` is a list of Migration"),
        ("2", Migration("1", "2"), "`migrations` is a list of Migration"),
        ("", [], "a version is a text of 1 to 100 characters"),
        (2, [], "a version is a text of 1 to 100 characters, as '2'; got 2"),
        ("2" * 101, [], "a version is a text of 1 to 100 characters"),
    ],
)
def test_migrations_that_are_no_chain_to_the_version_are_refused(version: Any, migrations: Any, fault: str) -> None:
    with pytest.raises(BadGraph, match=fault):
        GraphVersion(pipeline, version, migrations)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"to": 2}, "a version is a text"),
        ({"start": " "}, "a version is a text"),
        ({"values": {"a": 1}}, "needs a function as `values`"),
        ({"nodes": ["a", "b"]}, "needs a mapping as `nodes`"),
        ({"nodes": {"a": 1}}, "needs a mapping as `nodes`"),
    ],
)
def test_a_migration_names_what_does_not_fit(arguments: Any, fault: str) -> None:
    declared: Any = {"start": "1", "to": "2", **arguments}
    with pytest.raises(BadGraph, match=fault):
        Migration(**declared)


def test_what_is_registered_is_a_graph_or_builds_one() -> None:
    graphs: Any = {"own": GraphVersion("nothing", "1")}  # type: ignore[arg-type]
    with pytest.raises(BadGraph, match="must be an uncompiled StateGraph or a function"):
        Runner("sqlite://", graphs=graphs)


def test_the_path_of_a_thread_begins_at_its_version() -> None:
    version = GraphVersion(pipeline, "3", steps(("2", "3"), (None, "1"), ("1", "2")))

    paths = {stored: [str(one) for one in version.path_from(stored)] for stored in (None, "1", "2", "3", "of others")}

    assert [len(path) for path in paths.values()] == [3, 2, 1, 0, 0]
    assert paths["1"] == ["Migration('1', '2')", "Migration('2', '3')"]
    assert version.in_order() == [*version.path_from(None)]


def test_names_are_followed_over_all_versions() -> None:
    nodes = ({"a": "b", "x": "y"}, {"b": "c"}, {"c": "d"})
    chain = [Migration(f"{n}", f"{n + 1}", nodes=one) for n, one in enumerate(nodes)]

    assert former_names(chain) == {"a": "d", "b": "d", "c": "d", "x": "y"}
    assert former_names(chain[1:]) == {"b": "d", "c": "d"}


def test_a_name_that_a_node_has_now_cannot_be_a_former_one() -> None:
    graph = World().team()

    with pytest.raises(
        BadGraph, match="node 'worker' cannot be renamed by a migration: the graph has a node of that name"
    ):
        with_former_names(graph, {"worker": "asker"})
    assert with_former_names(graph, {"gone": "nowhere"}) is graph
