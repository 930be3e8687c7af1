"""Store the threads that every later release has to resume: `python -m tests.corpus.make` writes those of this one.

Make them once for each release, before it is published; those of an earlier release are never made again. What random
ids and times are in them differs each time, the rest does not.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from guardgraph import __version__
from guardgraph.runs import Runner
from guardgraph.storage.sql.checkpoints.packing import Write, pack_checkpoint, pack_writes
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.migrate import known_revisions, migrate
from tests.corpus.graphs import GRAPHS, failing, worked
from tests.storage.sql.leased import expire_leases

__all__ = ("FOLDER", "KEY", "THREADS", "Thread", "format_of_today", "main", "opened", "resumed")

FOLDER = Path(__file__).parent
KEY = b"a key of 16 byte"
"""The key of the threads that are encrypted."""


class Thread(NamedTuple):
    """One stored thread."""

    name: str
    graph: str
    goal: str = "t"
    dies_at: str | None = None
    """The goal at which the process of the run dies."""
    fails_at: tuple[str, ...] = ()
    """The goals that fail at first; the run is tried again, so that its thread has two branches."""
    is_sealed: bool = False
    """Whether it is compressed and encrypted."""


THREADS = (
    Thread("finished", "two"),
    Thread("waiting for an approval", "asking"),
    Thread("dead with pending writes", "two", dies_at="second"),
    Thread("forked", "asking", fails_at=("first", "second")),
    Thread("nested", "nested"),
    Thread("differences", "differences"),
    Thread("panel", "panel"),
    Thread("router", "router", goal="a refund"),
    Thread("long list", "long"),
    Thread("effects", "effects"),
    Thread("open reservation", "reserved", dies_at="model"),
    Thread("compressed and encrypted", "asking", is_sealed=True),
)


def opened(folder: Path, *, is_sealed: bool) -> Runner:
    """Open the threads in a folder."""
    sealed: Any = {"key": KEY, "compress_above": 100} if is_sealed else {}
    return Runner(f"sqlite:///{folder / ('sealed.db' if is_sealed else 'plain.db')}", graphs=GRAPHS, **sealed)


def store(folder: Path, thread: Thread) -> None:
    """Run a thread until it waits, ends or its process dies."""
    failing.update(thread.fails_at)
    with opened(folder, is_sealed=thread.is_sealed) as runner:
        run = runner.run(thread.graph, thread.goal, thread_id=thread.name)
        failing.clear()
        if run.status == "failed":
            runner.retry(thread.name)


def resumed(folder: Path, thread: Thread) -> dict[str, Any]:
    """Return what a stored thread looks like, and what comes of it once it goes on."""
    worked.clear()
    with opened(folder, is_sealed=thread.is_sealed) as runner:
        before = runner.status(thread.name)
        length = len(runner.history(thread.name, limit=1_000))
        run = runner.resume(thread.name, answers={one.id: "yes" for one in before.waiting})
    usage = run.usage.model_dump(mode="json", include={"input_tokens", "output_tokens", "calls"})
    facts = {"before": before.status, "questions": len(before.waiting), "checkpoints": length, "after": run.status}
    return {**facts, "value": run.outcome and run.outcome.value, "worked": sorted(worked), "usage": usage}


def format_of_today() -> dict[str, Any]:
    """Return what a stored database depends on: the newest migration, the tables, and how values are packed."""
    engine = engine_of("sqlite://")
    with migrate(engine).connect() as connection:
        tables = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).scalars()
        schema = [" ".join(str(one).split()) for one in tables]
    engine.dispose()
    values = [None, True, -1, 2**70, 1.5, "text", b"bytes", (1, 2), {3}, {"a": [1, {"b": 2}]}, {1: 2}]
    item = Codec().dumps({"values": values}, where="sample")
    packed = [
        item,
        pack_checkpoint("", b"core", {"a": item}),
        pack_writes(b"name", "c", "t", "p", [Write(0, "a", item)]),
    ]
    return {"revision": known_revisions()[-1], "schema": schema, "packed": [one.hex() for one in packed]}


def main() -> None:
    """Write the threads of this release."""
    release = ".".join(__version__.split(".")[:2])
    with TemporaryDirectory() as given:
        folder = Path(given)
        for thread in THREADS:
            if thread.dies_at is None:
                store(folder, thread)
            else:
                environment = {**os.environ, "CORPUS_CRASH": thread.dies_at}
                subprocess.run(
                    [sys.executable, "-m", __spec__.name, str(folder), thread.name], env=environment, check=False
                )
        target = FOLDER / release
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name in ("plain.db", "sealed.db"):
            expire_leases(f"sqlite:///{folder / name}")
            with sqlite3.connect(folder / name) as connection:
                connection.execute("PRAGMA journal_mode=DELETE")
                connection.execute("VACUUM")
            connection.close()
            (target / f"{name}.xz").write_bytes(lzma.compress((folder / name).read_bytes(), preset=9))
        facts = {"format": format_of_today(), "threads": {one.name: resumed(folder, one) for one in THREADS}}
        (target / "threads.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    sizes = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
    print(f"{target}: {sizes}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        store(Path(sys.argv[1]), next(one for one in THREADS if one.name == sys.argv[2]))
    else:
        main()
