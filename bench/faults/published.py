"""Events that two processes publish while the owner of the thread is killed: `python -m bench.faults.published`.

Every tenth event is published twice, every hundredth is poisoned, and the effects are in a database of their own, which
takes each key once, as an interface with idempotency keys does.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from guardgraph.agents import Agent
from guardgraph.graphs import Subscription, reactive
from guardgraph.runs import Runner
from guardgraph.state import Event, Request, ThreadBusy, deliveries_of, events_of

__all__ = ("main", "measured")

_THREAD = "published"
_SOURCES = 8
"""Sources of each publisher, whose events may be handled at once."""
_PUBLISHERS = 2


def _graph(folder: str) -> Any:
    def work(request: Request) -> Any:
        event = request.event
        if event is None or event.type == "task":
            return "begun"
        if _is_poisoned(event):
            raise ValueError("poison")
        with closing(_effects(folder)) as effects, effects:
            effects.execute("INSERT OR IGNORE INTO effect (source, id) VALUES (?, ?)", (event.source, event.id))
        return event.data

    worker = Subscription(Agent("worker", run=work), ["task", "item"])
    return reactive([worker], accepts=["item", "stop"], until=["stop"], events=1_000_000, value="stop")


def _is_poisoned(event: Event) -> bool:
    return isinstance(event.data, int) and event.data % 100 == 99


def _effects(folder: str) -> sqlite3.Connection:
    found = sqlite3.connect(Path(folder) / "effects.db", timeout=60)
    found.execute("PRAGMA journal_mode = WAL")
    found.execute("PRAGMA synchronous = NORMAL")
    found.execute(
        "CREATE TABLE IF NOT EXISTS effect (number INTEGER PRIMARY KEY, source TEXT, id TEXT, UNIQUE (source, id))"
    )
    return found


def _own(url: str, folder: str) -> None:
    """Work on the thread until its run has ended."""
    with Runner(url, graphs={"g": lambda: _graph(folder)}, lease_seconds=2) as runner:
        while True:
            try:
                run = runner.resume(_THREAD)
            except ThreadBusy:
                time.sleep(0.1)
                continue
            if run.outcome is not None:
                return
            time.sleep(0.02)


def _publish(url: str, number: int, count: int) -> None:
    """Publish the events of one publisher, every tenth one twice."""
    with Runner(url) as runner:
        for at in range(count):
            event = Event(type="item", data=at, source=f"p{number}-{at % _SOURCES}", id=str(at))
            for _ in range(2 if at % 10 == 0 else 1):
                runner.publish(_THREAD, event)


def _started(role: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "bench.faults.published", "--role", role, *map(str, arguments)])


def measured(url: str, folder: str, *, events: int, kills: int) -> Mapping[str, Any]:
    """Return what has become of so many events, while the owner is killed so often."""
    begun, each = time.monotonic(), events // _PUBLISHERS
    poisoned = _PUBLISHERS * sum(1 for at in range(each) if at % 100 == 99)
    with Runner(url, graphs={"g": lambda: _graph(folder)}) as runner:
        runner.run("g", "go", thread_id=_THREAD)
    publishers = [_started("publish", url, number, each) for number in range(_PUBLISHERS)]
    owner, killed, wanted = _started("own", url, folder), 0, _PUBLISHERS * each - poisoned
    with closing(_effects(folder)) as effects, Runner(url) as watching:
        while (done := effects.execute("SELECT count(*) FROM effect").fetchone()[0]) < wanted:
            if owner.poll() is not None:
                raise RuntimeError(f"the owner has ended with {owner.returncode} after {done} events")
            if killed < kills and done >= (killed + 1) * wanted // (kills + 1):
                os.kill(owner.pid, signal.SIGKILL)
                owner.wait()
                killed, owner = killed + 1, _started("own", url, folder)
            time.sleep(0.01)
        if any(one.wait() for one in publishers):
            raise RuntimeError("a publisher has failed")
        watching.publish(_THREAD, Event(type="stop", data="end"))
        owner.wait()
        run = watching.status(_THREAD)
        order = effects.execute("SELECT source, id FROM effect ORDER BY number").fetchall()
    log = [event for event in events_of(run.state) if event.type == "item"]
    deliveries = [one for one in deliveries_of(run.state) if not one.event.startswith("task/")]
    by_source: dict[str, list[int]] = {}
    for source, id_ in order:
        by_source.setdefault(source, []).append(int(id_))
    return {
        "events": len(log),
        "distinct": len({event.ref for event in log}),
        "effects": len(order),
        "lost": wanted - len(order),
        "handled": sum(one.status == "handled" for one in deliveries),
        "settled twice": len(deliveries) - len({one.event for one in deliveries}),
        "parked": sum(one.status == "parked" for one in deliveries),
        "poisoned": poisoned,
        "out of order": sum(ids != sorted(ids) for ids in by_source.values()),
        "killed": killed,
        "status": run.status,
        "seconds": round(time.monotonic() - begun, 1),
    }


@click.command(help=__doc__)
@click.option("--events", type=click.IntRange(min=2), default=10_000, show_default=True)
@click.option("--kills", type=click.IntRange(min=0), default=10, show_default=True)
@click.option("--url", help="An empty database; by default a SQLite file.")
@click.option("--role", hidden=True)
@click.argument("rest", nargs=-1)
def main(events: int, kills: int, url: str | None, role: str | None, rest: tuple[str, ...]) -> None:
    if role == "own":
        _own(rest[0], rest[1])
    elif role == "publish":
        _publish(rest[0], int(rest[1]), int(rest[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(url or f"sqlite:///{folder}/runs.db", folder, events=events, kills=kills)
        click.echo(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
