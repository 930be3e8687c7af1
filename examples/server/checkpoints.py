"""The checkpointer of the served teams: threads outlive the server, and their types come back as they were."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from guardgraph.storage import SQLSaver


@asynccontextmanager
async def saver() -> AsyncGenerator[SQLSaver]:
    """Keep checkpoints in `checkpoints.db`, in the folder in which the server was started."""
    async with SQLSaver.from_url("sqlite:///checkpoints.db") as opened:
        yield opened
