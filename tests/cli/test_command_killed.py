"""`guardgraph research` is killed with SIGKILL, and `guardgraph resume` repeats only what was in flight."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest

from guardgraph.research import Library, check_citations, read_documents
from guardgraph.storage import SQLSaver
from tests.house.sources import ROOT
from tests.loopback import OpenAIServer, Response, text
from tests.storage.sql.leased import expire_leases

PARTS = ("pads", "discs", "fluid", "drums", "cables")


class Office:
    """Plans, reads and writes as a model would, and hangs where it is told to until it is let go."""

    def __init__(self, hangs_at: frozenset[str]) -> None:
        self.hangs_at, self.released = hangs_at, Event()
        self.asked: Counter[str] = Counter()
        self._lock = Lock()

    def answer(self, body: dict[str, Any]) -> Response:
        """Note what is asked for, and answer it."""
        system, asked = str(body["messages"][0]["content"]), str(body["messages"][-1]["content"])
        what = "write" if "You write" in system else "plan"
        if "You extract" in system:
            what = next(part for part in PARTS if f"When are {part} replaced?" in asked)
        elif what == "plan" and "Accepted results" in asked:
            what = "plan again"
        with self._lock:
            self.asked[what] += 1
        if what in self.hangs_at and not self.released.is_set():
            self.released.wait(60)
        return text(json.dumps(_said(what)) if what != "write" else "Parts wear out [1][2][3][4][5].")


def _said(what: str) -> dict[str, Any]:
    if what in PARTS:
        return {"claims": [{"text": f"On {what}.", "source": f"papers/{what}.md", "quote": sentence(what)}]}
    first = [{"id": part, "goal": f"When are {part} replaced?"} for part in PARTS] if what == "plan" else []
    return {"subtasks": first, "reasoning": ""}


def sentence(part: str) -> str:
    return f"Brake {part} are replaced after {len(part)} years."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a folder of documents."""
    (tmp_path / "papers").mkdir()
    for part in PARTS:
        (tmp_path / "papers" / f"{part}.md").write_text(f"# {part.title()}\n\n{sentence(part)}\n")
    return tmp_path


def command(folder: Path, server: OpenAIServer, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "GUARDGRAPH_DB": f"sqlite:///{folder}/runs.db",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": server.url,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "guardgraph", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, for a minute at most."""
    limit = time.monotonic() + 60
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.05)
    assert is_so()


def committed(saver: SQLSaver) -> int:
    """Return how many workers' results of the superstep under way are in the database."""
    head = saver.get_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
    return sum(channel == "results" for _, channel, _ in (head.pending_writes or ())) if head else 0


@pytest.mark.parametrize(
    ("hangs_at", "finished"), [({"drums", "cables"}, {"pads", "discs", "fluid"}), ({"write"}, set(PARTS))]
)
def test_a_killed_research_goes_on_and_finished_workers_do_not_work_again(
    folder: Path, hangs_at: set[str], finished: set[str]
) -> None:
    office = Office(frozenset(hangs_at))
    with OpenAIServer(office.answer) as server, SQLSaver.from_url(f"sqlite:///{folder}/runs.db") as saver:
        options = ("--model", "openai:gpt-4o-mini", "--concurrency", "3", "--thread", "t")
        killed = command(folder, server, "research", "When are the parts of a brake replaced?", "papers", *options)
        until(lambda: office.asked.keys() >= hangs_at)
        if "write" not in hangs_at:
            until(lambda: committed(saver) >= len(finished))
        os.kill(killed.pid, signal.SIGKILL)
        out, err = killed.communicate(timeout=30)
        assert (killed.returncode, out) == (-signal.SIGKILL, "")
        assert err.startswith("thread t\n")
        before = office.asked.copy()
        office.released.set()

        expire_leases(saver.engine)
        resumed = command(folder, server, "resume", "t", "--json")
        out, err = resumed.communicate(timeout=60)

    assert (resumed.returncode, err) == (0, "")
    again = office.asked - before
    assert {what for what in before if what in PARTS} == set(PARTS)
    assert set(again) & set(PARTS) == set(PARTS) - finished
    assert set(again.values()) == {1}
    assert "plan" not in again
    run = json.loads(out)
    assert run["status"] == "completed"
    value = run["outcome"]["value"]
    library = Library(read_documents([folder / "papers"], root=folder).documents)
    assert check_citations(value, library.text_of) == []
    assert {Path(one["source"]).stem for one in value["citations"]} == set(PARTS)
    assert run["usage"]["calls"] == sum(office.asked.values())
