"""`guardgraph threads publish` and `replay`, and what shows that something is parked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from guardgraph.cli.entry import main
from guardgraph.runs import Runner
from guardgraph.state import Event, deliveries_of, events_of
from tests.cli.shops import HANDLED, POISON, shop

GRAPH = "tests.cli.shops:shop"


@pytest.fixture(autouse=True)
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a thread of the command and one of a `Runner`; both wait for events."""
    monkeypatch.setenv("GUARDGRAPH_DB", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.delenv("GUARDGRAPH_KEY", raising=False)
    HANDLED.clear()
    POISON.clear()
    assert main(["run", GRAPH, "--input", '"t"', "--thread", "monday", "--json"]) == 4
    with Runner(os.environ["GUARDGRAPH_DB"], graphs={"shop": shop}) as runner:
        runner.run("shop", "t", thread_id="own")
    return os.environ["GUARDGRAPH_DB"]


def done(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def shown(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[list[str], str]:
    capsys.readouterr()
    assert main([*words]) == code
    out, err = capsys.readouterr()
    return out.splitlines(), err


def park(url: str, *numbers: int, thread: str = "own") -> None:
    POISON.update(numbers)
    with Runner(url, graphs={"shop": shop}) as runner:
        for number in numbers:
            runner.publish(thread, Event(type="item", data=number, source="shop", id=str(number)))
    POISON.clear()


def test_without_the_graph_an_event_is_stored_and_the_next_step_is_named(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    event = ["item", "--data", "1", "--source", "web", "--id", "7", "--subject", "lamp"]
    lines, err = shown(capsys, "threads", "publish", "monday", *event)
    assert lines == ["web/7"]
    assert "stored as event 1 of thread 'monday'" in err
    assert "deliver it with: guardgraph resume monday" in err
    found = done(capsys, "threads", "publish", "monday", *event)
    assert found["published"] == [{"event": "web/7", "number": 1, "is_new": False}]
    assert main(["resume", "monday", "--json"]) == 4
    assert HANDLED == [1]
    with Runner(url) as runner:
        last = events_of(runner.status("monday").state)[-1]
    assert (last.type, last.data, last.ref, last.subject) == ("item", 1, "web/7", "lamp")

    found = done(capsys, "threads", "publish", "own", "item")
    assert found["published"][0]["event"].startswith("outside/")
    assert "`Runner.wake()` of a process that has the graph 'shop' delivers it" in found["next"]
    with Runner(url, graphs={"shop": shop}) as runner:
        assert [run.status for run in runner.wake()] == ["waiting"]
    assert HANDLED == [1, None]


@pytest.mark.parametrize("thread", ["monday", "own"])
def test_with_the_graph_the_run_goes_on(thread: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = done(capsys, "threads", "publish", thread, "item", "--data", "1", "--graph", GRAPH, code=4)
    assert (HANDLED, found["status"], found["published"][0]["is_new"]) == ([1], "waiting", True)

    lines, err = shown(capsys, "threads", "publish", thread, "close", "--id", "end", "--graph", GRAPH)
    assert json.loads("".join(lines)) == [{"subtask": "1:item:worker", "agent": "worker", "value": "done"}]
    assert "outside/end: stored as event 2" in err
    assert "completed" in err
    found = done(capsys, "threads", "publish", thread, "item", "--data", "2", "--graph", GRAPH)
    assert "the run has ended (completed): its next run delivers it" in found["next"]
    assert HANDLED == [1]


def test_what_is_parked_is_shown_and_delivered_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    park(url, 1, 2, 3, 4)
    _, err = shown(capsys, "threads", "show", "own")
    assert "parked: 4 deliveries, which `replay` makes again\n  shop/1 at worker: ValueError: poison\n" in err
    assert f"deliver again with: guardgraph threads replay own --db {url} shop/1\n" in err
    found = done(capsys, "threads", "show", "own")["parked"]
    assert (found["count"], len(found["first"])) == (4, 4)
    assert found["first"][0] == {"event": "shop/1", "subscriber": "worker", "error": "ValueError: poison"}
    assert done(capsys, "threads", "show", "monday")["parked"] == {"count": 0, "first": []}

    found = done(capsys, "threads", "replay", "own", "shop/1")
    assert ([one["event"] for one in found["published"]], HANDLED) == (["shop/1"], [])
    assert "`Runner.wake()`" in found["next"]
    found = done(capsys, "threads", "replay", "own", "shop/2", "3", "--graph", GRAPH, code=4)
    assert ([one["event"] for one in found["published"]], found["parked"]["count"]) == (["shop/2", "shop/3"], 1)
    assert sorted(HANDLED) == [1, 2, 3]


def test_replaying_events_of_a_run_that_has_ended_begins_one_run(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    park(url, 1, 2)
    assert main(["threads", "publish", "own", "item", "--data", "0", "--graph", GRAPH]) == 4
    assert main(["threads", "publish", "own", "close", "--graph", GRAPH]) == 0
    with Runner(url) as runner:
        first = runner.status("own")
    assert first.outcome is not None
    assert [gap.reason.partition(": ")[0] for gap in first.outcome.gaps] == ["event shop/1", "event shop/2"]

    lines, err = shown(capsys, "threads", "replay", "own", "shop/1")
    assert (lines, HANDLED) == (["shop/1"], [0])
    assert "the run has ended (degraded)" in err
    assert "this command with --graph MODULE:GRAPH" in err
    found = done(capsys, "threads", "replay", "own", "shop/1", "shop/2", "--graph", GRAPH, code=4)
    assert found["run_id"] != first.run_id
    assert (sorted(HANDLED), found["parked"]["count"]) == ([0, 1, 2], 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("publish", "own", "item", "--data", "{no"), "--data is not JSON"),
        (("publish", "own", "item", "--data", "NaN"), "data"),
        (("publish", "own", ""), "at least 1 character"),
        (
            ("publish", "own", "odd", "--graph", GRAPH),
            "accepts no events of type 'odd' from outside, but 'close', 'item'",
        ),
        (("publish", "own", "item", "--graph", "tests.cli.shops:none"), "has no 'none'"),
        (("publish", "own", "item", "--graph", "shop"), "MODULE:GRAPH"),
        (("publish", "nowhere", "item"), "no thread 'nowhere'"),
        (("replay", "nowhere", "shop/1"), "no thread 'nowhere'"),
        (("replay", "own", "shop/1", "shop/9"), "has no parked event 'shop/9'; parked are: shop/1"),
        (("replay", "own", "shop/1", "--graph", "tests.cli.shops:none"), "has no 'none'"),
        (("replay", "own"), "REF"),
    ],
)
def test_what_does_not_fit_exits_with_2_and_stores_nothing(
    words: tuple[str, ...], message: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    park(url, 1)
    found = done(capsys, "threads", *words, code=2)

    assert message in found["message"]
    with Runner(url, graphs={"shop": shop}) as runner:
        assert runner.wake() == []
        assert [one.status for one in deliveries_of(runner.status("own").state)] == ["parked"]


def test_a_thread_without_a_reactive_team_says_who_gets_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tests.cli.shops:stage", "--input", '"t"', "--thread", "plain", "--json"]) == 0

    assert "the thread's own team is not reactive" in done(capsys, "threads", "publish", "plain", "item")["next"]


def test_a_type_that_a_waiting_run_does_not_accept_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """It is stored all the same: the graph may have been changed since."""
    found = done(capsys, "threads", "publish", "own", "odd")

    assert (len(found["published"]), HANDLED) == (1, [])
    assert "the run accepts 'close', 'item': one of type 'odd' becomes a gap" in found["next"]
    assert "becomes a gap" not in done(capsys, "threads", "publish", "own", "item")["next"]
