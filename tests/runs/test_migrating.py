"""A thread that another version of its graph has stored goes on, is migrated, or is refused and left as it is."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.runs import GraphVersion, Migration, Run, Runner
from guardgraph.state import ContextItem, MigrationFailed, MigrationNeeded, StorageUnavailable
from tests.runs.versioned import (
    Differences,
    First,
    Less,
    More,
    Plain,
    Points,
    Typed,
    World,
)


def stored(url: str, world: World, graph: Any = None, version: str | None = "1", **channels: Any) -> Run:
    """Store a run that waits, as the first version does."""
    graph = world.team(**channels) if graph is None else graph
    with Runner(url, graphs={"own": GraphVersion(graph, version)}) as runner:
        run = runner.run("own", "t", thread_id="t")
    assert run.status == "waiting"
    return run


def resumed(url: str, graph: Any, version: str | None = "2", *migrations: Migration) -> Run:
    """Answer the question of the stored run, with another version."""
    with Runner(url, graphs={"own": GraphVersion(graph, version, migrations)}) as runner:
        return runner.resume("t", answers={one.id: "yes" for one in runner.status("t").waiting})


def in_points(values: dict[str, Any]) -> dict[str, Any]:
    return {"points": values["score"] / 2, "log": ", ".join(values["log"])}


def content(url: str) -> Any:
    """Return all that a database holds of the thread, but for who works on it."""
    with Runner(url) as runner, runner.saver.engine.connect() as connection:
        tables = ("checkpoint", "write", "blob", "chunk", "run")
        return [connection.exec_driver_sql(f"SELECT * FROM guardgraph_{name}").fetchall() for name in tables]


@pytest.mark.parametrize(
    ("state", "changes", "version"),
    [
        (First, {}, "2"),
        (First, {}, None),
        (More, {}, "1"),
        (First, {"more": "added"}, "2"),
        (First, {"writes": {"log": ["other"]}}, "1"),
    ],
    ids=["another version", "no version", "a channel more", "a node more", "other code"],
)
def test_what_still_fits_goes_on_without_a_migration(
    sqlite_url: str, state: Any, changes: Any, version: str | None
) -> None:
    world = World()
    stored(sqlite_url, world)

    assert resumed(sqlite_url, world.team(state, **changes), version).status == "completed"
    assert (world.seen["score"], world.seen["log"]) == (3, ["began"])
    assert sorted(world.worked) == ["asked", "asked", "worked worker"]


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (Less, "channel 'score' is gone, and holds a value of type int"),
        (Typed, r"channel 'score' holds a value of type int, and is last\[str\]"),
        (Plain, r"channel 'log' was reduced\[list\[str\]\], and is last\[list\[str\]\]"),
        (Differences, r"channel 'log' was reduced\[list\[str\]\], and is delta\[list"),
    ],
)
def test_a_channel_that_holds_what_does_not_fit_is_named_and_nothing_is_written(
    sqlite_url: str, state: Any, fault: str
) -> None:
    world = World()
    stored(sqlite_url, world)
    before = content(sqlite_url)

    with pytest.raises(MigrationNeeded, match=fault) as caught:
        resumed(sqlite_url, world.team(state, writes={}), "2")

    assert caught.match(r"GraphVersion\(build, '2', migrations=\[Migration\('1', '2', …\)\]\)")
    assert (caught.value.found, caught.value.known, len(caught.value.changed)) == ("1", "2", 1)
    assert content(sqlite_url) == before
    assert resumed(sqlite_url, world.team(), "1").status == "completed"


def test_a_channel_that_holds_nothing_may_change_or_go(sqlite_url: str) -> None:
    world = World()
    stored(sqlite_url, world, writes={"log": []})

    assert resumed(sqlite_url, world.team(Points, writes={})).status == "completed"


def test_a_channel_of_differences_cannot_be_read_by_another_kind(sqlite_url: str) -> None:
    world = World()
    stored(sqlite_url, world, state=Differences)

    with pytest.raises(MigrationNeeded, match="channel 'log' stores differences, which only delta"):
        resumed(sqlite_url, world.team(First), "2", Migration("1", "2", lambda values: values))
    assert resumed(sqlite_url, world.team(Differences, more="added")).status == "completed"
    assert world.seen["log"] == ["began"]


@pytest.mark.parametrize("version", ["1", None])
def test_a_migration_changes_the_values_and_leaves_the_work_and_the_question_as_they_are(
    database_url: str, version: str | None
) -> None:
    world = World()
    first = stored(database_url, world, version=version)
    migration = Migration(version, "2", in_points)

    with Runner(database_url, graphs={"own": GraphVersion(world.team(Points, writes={}), "2", [migration])}) as runner:
        assert runner.resume("t").waiting == first.waiting
        assert runner.resume("t", answers={first.waiting[0].id: "yes"}).status == "completed"
        history = runner.history("t")

    assert world.seen == {"points": 1.5, "log": "began", "agents": ["asker", "worker"]}
    assert sorted(world.worked) == ["asked", "asked", "worked worker"]
    at = next(item for item in history if item["migrated_to"])
    assert (at["version"], at["migrated_to"]) == (version, "2")
    later = history[: history.index(at)]
    assert {item["version"] for item in later} == {"2"}
    assert {item["version"] for item in history[history.index(at) :]} == {version}


def test_migrations_form_a_chain_of_which_each_is_applied_once(sqlite_url: str) -> None:
    world, calls = World(), list[str]()
    stored(sqlite_url, world)

    def step(name: str) -> Any:
        return lambda values: calls.append(name) or {"score": values["score"] * 10, "log": [*values["log"], name]}

    chain = [Migration("2", "3", step("second")), Migration("0", "1"), Migration("1", "2", step("first"))]
    for version in ("2", "3", "3"):
        with Runner(
            sqlite_url, graphs={"own": GraphVersion(world.team(), version, chain[-1:] if version == "2" else chain)}
        ) as runner:
            run = runner.resume("t")
    run = resumed(sqlite_url, world.team(), "3", *chain)

    assert (run.status, calls) == ("completed", ["first", "second"])
    assert (world.seen["score"], world.seen["log"]) == (300, ["began", "first", "second"])


def test_renamed_agents_are_reached_with_what_was_sent_to_them(database_url: str) -> None:
    world = World()
    first = stored(database_url, world)
    names = [
        Migration("1", "2", nodes={"asker": "inquirer", "worker": "clerk"}),
        Migration("2", "3", nodes={"clerk": "doer"}),
    ]

    run = resumed(database_url, world.team(worker="doer", asker="inquirer"), "3", *names)

    assert run.status == "completed"
    assert world.seen["agents"] == ["doer", "inquirer"]
    assert sorted(world.worked) == ["asked", "asked", "worked worker"]
    assert {result.agent for result in run.results} == {"doer", "inquirer"}
    assert first.waiting


def test_a_node_that_is_gone_is_named_with_the_versions(sqlite_url: str) -> None:
    world = World()
    stored(sqlite_url, world)

    with pytest.raises(MigrationNeeded, match="it was left at 'asker', where that has no node") as caught:
        resumed(
            sqlite_url, world.team(worker="doer", asker="inquirer"), "2", Migration("1", "2", nodes={"worker": "doer"})
        )
    assert caught.value.changed == ("asker",)


def _raises(values: Any) -> Any:
    raise KeyError("score")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_raises, r"Migration\('1', '2'\) of thread 't' raised KeyError: 'score'"),
        (lambda values: None, "returned NoneType, and no dict of values by channel"),
        (lambda values: {**in_points(values), "score": 1}, "returned 'score', which is no channel that was added"),
        (lambda values: {**in_points(values), "results": []}, "returned 'results', which is no channel that was added"),
        (lambda values: {**in_points(values), 1: 1}, "returned 1, which is no channel"),
        (lambda values: {"points": 1.5}, "left out 'log', which the graph has"),
        (lambda values: {"points": "many", "log": ""}, r"a value of type str for 'points', which is last\[float\]"),
        (lambda values: {"points": 1.5, "log": object()}, "a value of type object for 'log'"),
    ],
)
def test_a_migration_that_raises_or_returns_junk_writes_nothing(sqlite_url: str, change: Any, fault: str) -> None:
    world, changes = World(), [change]
    stored(sqlite_url, world)
    before = content(sqlite_url)
    migration = Migration("1", "2", lambda values: changes[0](values))

    with Runner(sqlite_url, graphs={"own": GraphVersion(world.team(Points, writes={}), "2", [migration])}) as runner:
        with pytest.raises(MigrationFailed, match=fault):
            runner.resume("t")
        assert content(sqlite_url) == before
        changes[0] = in_points
        answers = {one.id: "yes" for one in runner.status("t").waiting}
        assert runner.resume("t", answers=answers).status == "completed"


def test_what_was_updated_before_is_migrated_with_the_rest(sqlite_url: str) -> None:
    world = World()
    graph = world.team()
    stored(sqlite_url, world, graph)
    with Runner(sqlite_url, graphs={"own": GraphVersion(graph, "1")}) as runner:
        runner.update("t", score=8, context=[ContextItem(kind="background", title="overdue")])
        assert runner.update("t", log=["updated"]).status == "waiting"
    migration = Migration(
        "1", "2", lambda values: {**values, "score": str(values["score"]), "log": ["new", *values["log"]]}
    )

    resumed(sqlite_url, world.team(Typed), "2", migration)

    assert (world.seen["score"], world.seen["log"]) == ("8", ["new", "began", "updated"])
    assert world.background == ["overdue"]


def test_an_update_with_a_new_version_migrates_first(sqlite_url: str) -> None:
    world = World()
    stored(sqlite_url, world)
    migration = Migration("1", "2", lambda values: {**values, "score": str(values["score"])})

    with Runner(sqlite_url, graphs={"own": GraphVersion(world.team(Typed), "2", [migration])}) as runner:
        runner.update("t", log=["updated"])
    resumed(sqlite_url, world.team(Typed), "2", migration)

    assert (world.seen["score"], world.seen["log"]) == ("3", ["began", "updated"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_dies_at_the_migration_leaves_the_old_thread_or_the_new_one(
    sqlite_url: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    first = stored(sqlite_url, world)
    before = content(sqlite_url)
    migration = Migration("1", "2", in_points)
    version = GraphVersion(world.team(Points, writes={}), "2", [migration])

    with Runner(sqlite_url, graphs={"own": version}) as runner:
        replace = type(runner.saver).replace_writes

        def dies(*given: Any) -> None:
            if when == "after":
                replace(*given)
            raise StorageUnavailable("the database is gone")

        monkeypatch.setattr(type(runner.saver), "replace_writes", dies)
        with pytest.raises(StorageUnavailable):
            runner.resume("t")
        monkeypatch.undo()
    assert (content(sqlite_url) == before) == (when == "before")

    assert resumed(sqlite_url, version.build, "2", migration).status == "completed"
    assert world.seen["points"] == 1.5
    assert first.waiting


def test_a_thread_whose_run_has_ended_is_migrated_when_the_next_run_begins(sqlite_url: str) -> None:
    world = World()
    stored(sqlite_url, world)
    resumed(sqlite_url, world.team(), "1")
    graph = world.team(Points, writes={}, asks=lambda request: "yes")

    with Runner(sqlite_url, graphs={"own": GraphVersion(graph, "2")}) as runner:
        with pytest.raises(MigrationNeeded, match="'score' is gone"):
            runner.run("own", "again", thread_id="t")
        assert len(runner.list_runs()) == 1
    with Runner(sqlite_url, graphs={"own": GraphVersion(graph, "2", [Migration("1", "2", in_points)])}) as runner:
        assert runner.run("own", "again", thread_id="t").status == "completed"
        assert runner.run("own", "once more", thread_id="t").status == "completed"

    assert world.seen["points"] == 1.5


def test_what_has_failed_is_tried_again_by_a_new_version(sqlite_url: str) -> None:
    world = World()
    world.fails = True
    graph = world.team(asks=world.work)
    with Runner(sqlite_url, graphs={"own": GraphVersion(graph, "1")}) as runner:
        assert runner.run("own", "t", thread_id="t").status == "failed"
    world.fails = False
    later = world.team(Points, worker="doer", asker="inquirer", writes={}, asks=world.work)
    names = {"worker": "doer", "asker": "inquirer"}

    with Runner(sqlite_url, graphs={"own": GraphVersion(later, "2")}) as runner:
        with pytest.raises(MigrationNeeded, match=r"left at '(asker|worker)'"):
            runner.retry("t")
        assert len(runner.list_runs()) == 1
    with Runner(
        sqlite_url, graphs={"own": GraphVersion(later, "2", [Migration("1", "2", in_points, names)])}
    ) as runner:
        assert runner.retry("t").status == "completed"
        assert runner.history("t")[0]["version"] == "2"

    assert (world.seen["points"], world.seen["log"]) == (1.5, "began")
    assert set(world.seen["agents"]) == {"doer", "inquirer"}
