"""Where checkpoints, books and runs are kept."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guardgraph.storage.memory import MemoryLedger
    from guardgraph.storage.protocols import Ledger
    from guardgraph.storage.sql.checkpoints.saver import SQLSaver
    from guardgraph.storage.sql.codec.schemas import types_of_graph
    from guardgraph.storage.sql.ledger.run_ledger import RunLedger
    from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger
    from guardgraph.storage.sql.runs import RunRow, RunStore

__all__ = (
    "Ledger",
    "MemoryLedger",
    "RunLedger",
    "RunRow",
    "RunStore",
    "SQLLedger",
    "SQLSaver",
    "types_of_graph",
)

# Who works in memory needs no SQL: each name is imported when it is first asked for.
_MODULES = {
    "Ledger": "guardgraph.storage.protocols",
    "MemoryLedger": "guardgraph.storage.memory",
    "RunLedger": "guardgraph.storage.sql.ledger.run_ledger",
    "RunRow": "guardgraph.storage.sql.runs",
    "RunStore": "guardgraph.storage.sql.runs",
    "SQLLedger": "guardgraph.storage.sql.ledger.sql_ledger",
    "SQLSaver": "guardgraph.storage.sql.checkpoints.saver",
    "types_of_graph": "guardgraph.storage.sql.codec.schemas",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
