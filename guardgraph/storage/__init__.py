"""Storage of checkpoints, ledgers and runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guardgraph.storage.ledger import Ledger
    from guardgraph.storage.memory import MemoryLedger
    from guardgraph.storage.reputation import Reputation
    from guardgraph.storage.retention import Retention
    from guardgraph.storage.sql.checkpoints.saver import SQLSaver
    from guardgraph.storage.sql.codec.graph_types import types_of_graph
    from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger
    from guardgraph.storage.sql.runs import RunRow, RunStore
    from guardgraph.storage.sql.stock.importing import ImportedThread, ImportFault, aimport_threads, import_threads
    from guardgraph.storage.sql.threads import Removed, Threads

__all__ = (
    "ImportFault",
    "ImportedThread",
    "Ledger",
    "MemoryLedger",
    "Removed",
    "Reputation",
    "Retention",
    "RunRow",
    "RunStore",
    "SQLLedger",
    "SQLSaver",
    "Threads",
    "aimport_threads",
    "import_threads",
    "types_of_graph",
)

# Each name is imported on first access, so that working in memory does not import SQLAlchemy.
_MODULES = {
    "ImportFault": "guardgraph.storage.sql.stock.importing",
    "ImportedThread": "guardgraph.storage.sql.stock.importing",
    "Ledger": "guardgraph.storage.ledger",
    "MemoryLedger": "guardgraph.storage.memory",
    "Removed": "guardgraph.storage.sql.threads",
    "Reputation": "guardgraph.storage.reputation",
    "Retention": "guardgraph.storage.retention",
    "RunRow": "guardgraph.storage.sql.runs",
    "RunStore": "guardgraph.storage.sql.runs",
    "SQLLedger": "guardgraph.storage.sql.ledger.sql_ledger",
    "SQLSaver": "guardgraph.storage.sql.checkpoints.saver",
    "Threads": "guardgraph.storage.sql.threads",
    "aimport_threads": "guardgraph.storage.sql.stock.importing",
    "import_threads": "guardgraph.storage.sql.stock.importing",
    "types_of_graph": "guardgraph.storage.sql.codec.graph_types",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
