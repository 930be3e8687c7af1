"""What a forked process does with a database that its parent has opened."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import asyncio, os, sys
from guardgraph.runs import Runner
from guardgraph.state import StorageUnavailable
from guardgraph.storage import SQLSaver

url, how = sys.argv[1:]
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
child = os.fork()
if child == 0:
    try:
        calls[how]()
    except StorageUnavailable as error:
        print(error, flush=True)
    runner.close()
    with Runner(url) as own:
        print(own.list_runs(), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
asyncio.run(both())
print(status, runner.list_runs())
"""


@pytest.mark.parametrize("how", ["get_tuple", "threads", "aget_tuple", "aexit"])
def test_a_saver_is_refused_in_a_forked_process_and_goes_on_in_its_parent(database_url: str, how: str) -> None:
    command = [sys.executable, "-c", _SCRIPT, database_url, how]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    refused, own, parent = ended.stdout.splitlines() or [ended.stderr] * 3
    assert "was opened before this process was forked" in refused
    assert "open it again in this process, as by SQLSaver.from_url(…) or Runner(…)" in refused
    assert (own, parent) == ("[]", "0 []")
