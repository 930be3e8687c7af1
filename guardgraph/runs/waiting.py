"""Waiting for a thread that somebody else works on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from guardgraph.state import ThreadBusy

__all__ = ("apatiently", "patiently", "pauses")

T = TypeVar("T")


def pauses(seconds: float) -> Iterator[float]:
    """Yield how long to wait before each further try: 20 ms, then twice as long, at most 0.5 s; `seconds` in all."""
    left, pause = seconds, 0.02
    while left > 0:
        yield min(pause, left)
        left, pause = left - pause, min(2 * pause, 0.5)


def patiently(call: Callable[[], T], seconds: float) -> T:
    """Return what `call` returns; while it raises `ThreadBusy` it is called again, for so many seconds."""
    for pause in pauses(seconds):
        try:
            return call()
        except ThreadBusy:
            time.sleep(pause)
    return call()


async def apatiently(call: Callable[[], T], seconds: float) -> T:
    """Do as `patiently`; each call has a worker thread, but none waits in one."""
    for pause in pauses(seconds):
        try:
            return await asyncio.to_thread(call)
        except ThreadBusy:
            await asyncio.sleep(pause)
    return await asyncio.to_thread(call)
