"""Where a run is kept: checkpoints, accounts and runs in a SQL database, its engine and its migrations."""

from __future__ import annotations

from guardgraph.state.sql.codec import Codec
from guardgraph.state.sql.engine import close_engine, engine_of, reading, writing
from guardgraph.state.sql.exceptions import StoredException
from guardgraph.state.sql.ledger import SQLLedger
from guardgraph.state.sql.migrate import migrate
from guardgraph.state.sql.rewriting import rewrite
from guardgraph.state.sql.run_ledger import RunLedger
from guardgraph.state.sql.runs import RunRow, RunStore
from guardgraph.state.sql.saver import SQLSaver
from guardgraph.state.sql.schemas import types_in, types_of_graph

__all__ = (
    "Codec",
    "RunLedger",
    "RunRow",
    "RunStore",
    "SQLLedger",
    "SQLSaver",
    "StoredException",
    "close_engine",
    "engine_of",
    "migrate",
    "reading",
    "rewrite",
    "types_in",
    "types_of_graph",
    "writing",
)
