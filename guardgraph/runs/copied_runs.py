"""The ledger of a run in a copied thread: it begins with what the results that are stored there have cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardgraph.nodes.scope import attempts_of
from guardgraph.runs.head import Head, outermost
from guardgraph.runtime.services import Services
from guardgraph.state import DelegationScope
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.runs import RunStore

__all__ = ("charge_copied_run",)


def charge_copied_run(saver: SQLSaver, thread_id: str) -> None:
    """Charge the last run of a copied thread, if it has not ended, with the usage of its stored results.

    What attempts without a result have cost is not known there, nor what was added to its allowance.
    """
    row = RunStore(saver.engine, tenant=saver.tenant, codec=saver.codec).latest(thread_id)
    if row is None or row.status is not None:
        return
    ledger = RunLedger(saver.engine, row.run_id, tenant=saver.tenant, is_new=True)
    services = Services(ledger=ledger)
    for state in _unfinished_teams(saver.reading_plain(lambda _: None), thread_id):
        position = state.get("position")
        if isinstance(position, DelegationScope) and position.run_id == row.run_id:
            services.ensure_open(position.model_copy(update={"budgets": ()}))  # the run in the original was counted
            services.recall(position, attempts_of(state))
    ledger.store()


def _unfinished_teams(saver: SQLSaver, thread_id: str) -> Iterator[Mapping[str, Any]]:
    """Yield the state of the outermost team, then those of nested ones that have not ended: their results are new."""
    found = saver.get_tuple(outermost(thread_id))
    if found is None:
        return
    yield Head(found).values()
    seen = {""}
    for one in saver.list({"configurable": {"thread_id": thread_id}}):
        namespace = one.config.get("configurable", {})["checkpoint_ns"]
        if namespace not in seen:
            seen.add(namespace)
            state = Head(one).values()
            if state.get("outcome") is None:
                yield state
