"""A team whose agents note what they did in a file of its own, and the process that works on its threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner
from guardgraph.state import GuardgraphError, Request

__all__ = ("Effects", "build", "serve", "work_on")


class Effects:
    """A log of what agents did, which no database is asked for: one line for each, appended in one call."""

    def __init__(self, file: Path) -> None:
        """Keep the log in `file`."""
        self.file = file

    def add(self, what: str) -> None:
        """Append a line."""
        log = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(log, f"{what} {os.getpid()}\n".encode())
        finally:
            os.close(log)

    def read(self) -> list[str]:
        """Return what was done, without the numbers of the processes."""
        return [line.split()[0] for line in self.file.read_text().splitlines()] if self.file.exists() else []


def build(log: Path, seconds: float = 0.02) -> Callable[..., Any]:
    """Return a builder of `steps` agents that each take so many seconds; one of them asks, if `asks` is its number."""
    effects = Effects(log)

    def step(name: str, *, asks: bool) -> Callable[[Request], str]:
        def work(request: Request) -> str:
            effects.add(f"{request.task.goal}/{name}")
            time.sleep(seconds)
            if asks:
                answer = interrupt("may I?")
                effects.add(f"{request.task.goal}/{name}:{answer}")
                time.sleep(seconds)
            return name

        return work

    def steps(steps: int = 3, asks: int | None = None) -> Any:
        return pipeline([Agent(f"s{number}", run=step(f"s{number}", asks=number == asks)) for number in range(steps)])

    return steps


def work_on(runner: Runner, action: str, thread_id: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Do one thing to a thread, and return how that went and how long it took."""
    actions: dict[str, Callable[[], Any]] = {
        "run": lambda: runner.run("steps", thread_id, thread_id=thread_id, arguments=facts),
        "resume": lambda: runner.resume(thread_id, **facts),
        "update": lambda: runner.update(thread_id, **facts),
    }
    began = time.monotonic()
    try:
        result = actions[action]().status
    except GuardgraphError as error:
        result = type(error).__name__
    return {"result": result, "seconds": time.monotonic() - began, "owner": os.getpid()}


def serve(pipe: Connection, url: str, log: Path, lease_seconds: float) -> None:
    """Do what comes as `(moment, action, thread, facts)`, each at its moment, and send how it went."""
    with Runner(url, graphs={"steps": build(log)}, lease_seconds=lease_seconds) as runner:
        runner.list_runs(1)
        pipe.send("ready")
        while True:
            moment, action, thread_id, facts = pipe.recv()
            time.sleep(max(moment - time.time(), 0))
            pipe.send(work_on(runner, action, thread_id, facts))
