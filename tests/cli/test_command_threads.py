"""`guardgraph threads`: verifying, repairing, pruning, deleting, copying, forking and comparing."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest
from sqlalchemy import update

from guardgraph.agents import Agent
from guardgraph.cli.entry import main
from guardgraph.graphs import Subscription, pipeline, reactive
from guardgraph.runs import Runner
from guardgraph.state import Event as DomainEvent
from guardgraph.state import Reply, Request, StoredEvent, UnknownThread
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.leases import Claim, acquire
from guardgraph.storage.sql.published_table import published
from guardgraph.storage.sql.tables import checkpoints
from tests.house.sources import ROOT


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a thread that has ended and one that waits, which the command uses."""
    monkeypatch.setenv("WORKED", str(tmp_path / "worked.txt"))
    monkeypatch.setenv("GUARDGRAPH_DB", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.delenv("GUARDGRAPH_KEY", raising=False)
    for thread, graph, code in (("monday", "flat", 0), ("tuesday", "asking", 4)):
        assert main(["run", f"tests.runs.team:{graph}", "--input", '"t"', "--thread", thread, "--json"]) == code
    return os.environ["GUARDGRAPH_DB"]


def done(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run `guardgraph threads` with `--json` and return what it writes."""
    capsys.readouterr()
    assert main(["threads", *arguments, "--json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[str], str]:
    """Run `guardgraph threads` and return the lines of stdout, and stderr."""
    capsys.readouterr()
    assert main(["threads", *arguments]) == code
    out, err = capsys.readouterr()
    return out.splitlines(), err


def damage(url: str, thread: str) -> str:
    """Damage the newest checkpoint of a thread, and return its id."""
    with Runner(url) as runner:
        newest = runner.history(thread, 1)[0]["id"]
        with write_transaction(runner.saver.engine) as connection:
            connection.execute(update(checkpoints).where(checkpoints.c.checkpoint_id == newest).values(run_id="x"))
    return newest


def test_an_error_names_the_commands_that_help(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage(url, "monday")
    capsys.readouterr()
    for arguments, code, advice in (
        (["run", "tests.runs.team:asking", "--input", '"t"', "--thread", "tuesday"], 2, "`guardgraph resume tuesday`"),
        (["threads", "show", "monday", "--tenant", "acme"], 2, "--tenant ID, or GUARDGRAPH_TENANT"),
        (["threads", "show", "monday"], 1, "`guardgraph threads repair monday`"),
    ):
        assert main(arguments) == code
        assert advice in capsys.readouterr().err


def test_damage_is_found_and_repaired(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "verify") == ([], "2 threads verified, none damaged\n")
    newest = damage(url, "monday")

    lines, err = shown(capsys, "verify", code=6)
    assert lines[1] == f"monday\t{newest}\tbody\tits row is not what was stored"
    assert err.startswith("2 threads verified, 1 damaged; `guardgraph threads repair monday` goes back")
    found = done(capsys, "verify", "monday", code=6)["threads"]
    expected = {"checkpoint_id": newest, "damaged": "body", "reason": "its row is not what was stored"}
    assert found == [{"thread_id": "monday", "damage": [expected]}]
    assert done(capsys, "verify", "tuesday")["threads"][0]["damage"] == []

    assert done(capsys, "repair", "monday", "--dry-run", code=6)["left"] == [expected]
    assert "--yes" in done(capsys, "repair", "monday", code=2)["message"]
    assert done(capsys, "repair", "monday", "--yes")["left"] == []
    assert shown(capsys, "repair", "monday") == ([], "thread 'monday' is not damaged; nothing was changed\n")
    assert done(capsys, "verify", "monday")["threads"][0]["damage"] == []


def test_damage_to_boards_and_events_is_found_and_stays(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Runner(url) as runner:
        runner.board("plan", thread_id="monday", author="ann").put("route", "by train")
        runner.publish("monday", DomainEvent(type="order", source="shop", id="1"))
        engine = runner.saver.engine
    for table in (boards, events, published):
        with write_transaction(engine) as connection:
            connection.execute(update(table).values(data=b"x" * 40))

    lines, _ = shown(capsys, "verify", "monday", code=6)
    assert lines[1].endswith("\tboards\tversion 1 of an entry is damaged, it is not what was stored")
    assert re.search(r"\tevents\tthose up to number \d+ are not what was stored$", lines[2])
    assert lines[3].endswith("\tpublished\tnumber 1 is not what was stored")
    _, told = shown(capsys, "repair", "monday", "--yes", code=6)
    assert told == "thread 'monday' has 3 faults that no repair mends: restore the database from a copy\n"
    damage(url, "monday")
    _, told = shown(capsys, "repair", "monday", "--yes", code=6)
    assert "was repaired, and can be resumed; 4 faults found; 3 faults outside of checkpoints stay: restore" in told


def test_old_checkpoints_are_pruned_and_what_cannot_be_is_named(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    planned = done(capsys, "prune", "--keep", "2", "--dry-run")
    assert [(one["thread_id"], one["kept"]) for one in planned["threads"]] == [("monday", 2), ("tuesday", 0)]
    assert planned["threads"][1]["skipped"]["error"] == "RunUnfinished"
    count = planned["threads"][0]["checkpoints"]
    assert count > 5

    assert f"remove {count} checkpoints" in done(capsys, "prune", "--keep", "2", code=2)["message"]
    lines, err = shown(capsys, "prune", "--keep", "2", "--yes")
    assert lines[1].startswith(f"monday\t{count}\t2\t")
    assert re.search(rf"^removed {count} checkpoints \([\d.]+ kB\) of 1 thread; 1 thread skipped$", err, re.MULTILINE)
    assert "skipped: thread 'tuesday' has a run that has not ended" in err
    assert len(done(capsys, "history", "monday")) == 2
    assert done(capsys, "prune", "--older-than", "30d", "--thread", "monday", "--yes")["threads"][0]["kept"] == 2
    assert done(capsys, "prune", "--keep", "1", "--thread", "tuesday", "--yes", code=2)["error"] == "RunUnfinished"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "--yes"], "name what is kept: --keep N, --older-than AGE or both"),
        (["prune", "--older-than", "soon"], "--older-than must be a number of minutes, hours, days or weeks"),
        (["prune", "--keep", "1", "--thread", "nowhere"], "no thread 'nowhere'"),
        (["verify", "nowhere"], "no thread 'nowhere'"),
        (["repair", "nowhere", "--yes"], "no thread 'nowhere'"),
        (["delete", "monday", "nowhere", "--yes"], "no thread 'nowhere'"),
        (["copy", "monday", "tuesday"], "cannot copy thread 'monday' to 'tuesday'"),
        (["copy", "monday", " "], "the name of the thread is empty"),
        (["fork", "monday", "--checkpoint", "x"], "thread 'monday' has no checkpoint 'x'"),
        (["diff", "monday", "x"], "thread 'monday' has no checkpoint 'x'"),
        (["diff", "monday", "--with", "nowhere"], "no thread 'nowhere'"),
        (["diff", "monday", "a", "b", "c"], "name at most two checkpoints"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    url: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = done(capsys, "list")
    assert message in done(capsys, *arguments, code=2)["message"]
    assert done(capsys, "list") == before


def test_a_copy_and_a_fork_go_on_by_themselves(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert done(capsys, "copy", "tuesday", "copy") == {"thread_id": "copy", "copy_of": "tuesday"}
    (fork,), err = shown(capsys, "fork", "tuesday")
    assert (len(fork), err) == (32, "")
    (question,) = done(capsys, "show", "copy")["waiting"]
    for thread, answer in (("copy", "yes"), (fork, "no")):
        assert main(["resume", thread, "--answer", f"{question['id']}={answer}", "--json"]) == 0
        assert f"human said {answer}" in json.loads(capsys.readouterr().out)["outcome"]["value"]
    assert done(capsys, "show", "tuesday")["status"] == "waiting"

    changes = {one["channel"]: one for one in done(capsys, "diff", "copy", "--with", fork)["changes"]}
    assert "human said no" in changes["outcome"]["after"]["value"]
    lines, err = shown(capsys, "diff", "copy", "--with", "tuesday")
    assert "~\tpassed\t1 → 0 items; the first 0 are equal, then: []" in lines
    assert re.match(r"from copy \S+\n  to tuesday \S+\n$", err)
    assert shown(capsys, "diff", "copy", "--with", "copy")[1].endswith("no channel differs\n")


def test_a_thread_is_deleted_with_its_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "delete thread 'tuesday' (waiting) with 1 run, " in done(capsys, "delete", "tuesday", code=2)["message"]
    assert done(capsys, "delete", "monday", "tuesday", "--dry-run")["dry_run"] is True
    assert len(done(capsys, "list")) == 2

    (removed,) = done(capsys, "delete", "tuesday", "--yes")["threads"]

    assert (removed["runs"], removed["kept"], removed["checkpoints"] > 1) == (1, 0, True)
    assert [one["thread_id"] for one in done(capsys, "list")] == ["monday"]
    with Runner(url) as runner, write_transaction(runner.saver.engine) as connection:
        acquire(connection, Claim("monday", "r", "somebody", 60, ""))
    assert done(capsys, "delete", "monday", "--yes", code=2)["error"] == "ThreadBusy"
    assert done(capsys, "prune", "--keep", "1", "--yes")["threads"][0]["skipped"]["error"] == "ThreadBusy"


def answered(answer: str, *arguments: str) -> tuple[int, str]:
    """Answer the question of a command on its terminal; return the exit code and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "guardgraph", "threads", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "COLUMNS": "100"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    screen = b""
    try:
        while data := os.read(ours, 65_536):
            screen += data
            if screen.endswith(b"[y/N]: "):
                os.write(ours, answer.encode() + b"\n")
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    return process.wait(30), screen.decode()


def test_a_terminal_is_asked_before_something_is_removed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, screen = answered("n", "delete", "monday")
    assert (code, "nothing was changed" in screen) == (1, True)
    assert len(done(capsys, "list")) == 2

    code, screen = answered("y", "delete", "monday", "tuesday")

    assert re.search(r"delete 2 threads with 2 runs, \d+ checkpoints \([\d.]+ kB\)\? \[y/N\]: ", screen)
    assert (code, done(capsys, "list")) == (0, [])


def test_the_events_of_a_run_are_listed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Runner(url) as runner:
        stored, run_id = runner.events("tuesday"), runner.status("tuesday").run_id

    lines, err = shown(capsys, "events", "tuesday", "--follow")
    assert (len(lines), err) == (len(stored), "")
    assert f"{stored[0].number:>5}  {stored[0].at:%Y-%m-%d %H:%M:%S.%f}  run_started graph=" in lines[0]
    assert "run_waiting" in lines[-1]

    chosen = [
        "--run",
        run_id,
        "--kind",
        "agent_started",
        "--kind",
        "run_waiting",
        "--after",
        "1",
        "--limit",
        "2",
        "--json",
    ]
    lines, err = shown(capsys, "events", "tuesday", *chosen)
    wanted = [one for one in stored if one.kind in ("agent_started", "run_waiting") and one.number > 1][:2]
    assert [json.loads(line) for line in lines] == [one.model_dump(mode="json") for one in wanted]

    assert shown(capsys, "events", "monday", "--kind", "routed") == ([], "no such events are stored\n")
    assert shown(capsys, "events", "monday", "--run", run_id, code=2)[1].startswith(
        "guardgraph: thread 'monday' has no run"
    )


def test_events_are_followed_until_the_run_ends(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    begun = Event()

    def work(_: Request) -> str:
        begun.wait(60)
        return "done"

    def follow() -> tuple[list[str], str]:
        return shown(capsys, "events", "new", "--follow")

    stages = [Agent("first", run=lambda _: "done"), Agent("second", run=work)]
    with Runner(url) as runner, ThreadPoolExecutor(2) as pool:
        running = pool.submit(runner.run, pipeline(stages), "t", thread_id="new")
        while not (run := _stored(runner)) or len(run) < 3:
            sleep(0.01)
        listed = pool.submit(follow)
        sleep(0.2)
        begun.set()
        assert running.result().status == "completed"
        lines, err = listed.result()
    assert ("run_finished" in lines[-1], err) == (True, "")
    assert [int(line.split()[0]) for line in lines] == [*range(1, len(lines) + 1)]


def _stored(runner: Runner) -> list[StoredEvent]:
    with suppress(UnknownThread):
        return runner.events("new")
    return []


def test_causes_shows_which_event_has_caused_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Mermaid text, and as JSON with what has become of each; the graph need not be there."""
    monkeypatch.setenv("GUARDGRAPH_DB", f"sqlite:///{tmp_path}/runs.db")
    sales = Agent(
        "sales", run=lambda request: Reply(value="sold", events=(DomainEvent(type="order"), DomainEvent(type="order")))
    )

    def bill(request: Request) -> str:
        assert request.event is not None
        if request.event.id.endswith(".2"):
            raise ValueError("no money")
        return "billed"

    team = [Subscription(sales, ["task"]), Subscription(Agent("billing", run=bill), ["order"])]
    with Runner(os.environ["GUARDGRAPH_DB"]) as runner:
        runner.run(reactive(team, emits={"sales": ["order"]}), "go", thread_id="shop")
        runner.run(pipeline([Agent("a", run=str)]), "go", thread_id="other")

    lines, err = shown(capsys, "causes", "shop")
    assert (lines[0], err) == ("graph LR", "")
    assert [line.strip() for line in lines if "-->" in line] == ["e0 --> e1", "e0 --> e2"]
    found = done(capsys, "causes", "shop")
    assert [(one["type"], one["source"], one["depth"]) for one in found] == [
        ("task", "task", 0),
        ("order", "sales", 1),
        ("order", "sales", 1),
    ]
    assert {one["caused_by"] for one in found[1:]} == {f"{found[0]['source']}/{found[0]['id']}"}
    assert [[(had["subscriber"], had["status"]) for had in one["deliveries"]] for one in found] == [
        [("sales", "handled")],
        [("billing", "handled")],
        [("billing", "parked")],
    ]
    lines, err = shown(capsys, "causes", "other")
    assert (lines, err) == ([], "thread 'other' has no events\n")
    assert main(["threads", "causes", "nowhere"]) == 2
