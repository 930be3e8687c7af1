"""What a forked process does with a database that its parent has opened."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import asyncio, os, sys
from guardgraph.runs import Runner
from guardgraph.state import StorageUnavailable
from guardgraph.storage import SQLSaver

[url] = sys.argv[1:]
thread = {"configurable": {"thread_id": "t"}}
runner = Runner(url)
saver = runner.saver


async def leave():
    async with saver:
        await saver.aget_tuple(thread)


async def both():
    await saver.aget_tuple(thread)
    await asyncio.gather(*(saver.adelete_thread(str(number)) for number in range(20)))


calls = {
    "get_tuple": lambda: saver.get_tuple(thread),
    "threads": runner.list_runs,
    "aget_tuple": lambda: asyncio.run(saver.aget_tuple(thread)),
    "aexit": lambda: asyncio.run(leave()),
}
asyncio.run(both())  # every lane has a thread, the pool has connections
for call in calls.values():
    child = os.fork()
    if child == 0:
        try:
            call()
        except StorageUnavailable as error:
            print(error, flush=True)
        runner.close()
        with Runner(url) as own:
            print(own.list_runs(), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    asyncio.run(both())
    print(status, runner.list_runs(), flush=True)
"""


def test_a_saver_is_refused_in_a_forked_process_and_goes_on_in_its_parent(database_url: str) -> None:
    command = [sys.executable, "-c", _SCRIPT, database_url]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    lines = ended.stdout.splitlines()
    assert len(lines) == 4 * 3, ended.stderr
    for refused, own, parent in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        assert "was opened before this process was forked" in refused
        assert "open it again in this process, as by SQLSaver.from_url(…) or Runner(…)" in refused
        assert (own, parent) == ("[]", "0 []")
