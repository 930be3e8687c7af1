"""A process that works on threads, to be stopped or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

__all__ = ("Worker",)


class Worker(AbstractContextManager["Worker"]):
    """A process with a `Runner` of its own."""

    def __init__(self, url: str, log: Path, *, lease_seconds: float = 30.0) -> None:
        """Start it, and wait until it has opened the database."""
        command = [sys.executable, "-m", "bench.faults.team", url, str(log), str(lease_seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def begin(self, action: str, thread_id: str, facts: dict[str, Any], *, at: float | None = None) -> None:
        """Let it do something, at a moment of `time.time()` or at once; see `result`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([at or time.time(), action, thread_id, facts]) + "\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Return how that went."""
        return json.loads(self._answer())

    def pause(self) -> None:
        """Stop it as it is."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker has ended with {self._process.wait()}")
        return answer
