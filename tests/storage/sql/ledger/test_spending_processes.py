"""Four processes share a tenant's day: together they never spend more, and less only where it does not fit.

GUARDGRAPH_SEARCH=10000 lets each make that many calls instead of a few.
"""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from guardgraph.state import Amount
from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.ledger.shared_budgets import AccountBudget, SQLBudgets
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.tables import leases
from tests.conformance.search import SEARCH
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url
from tests.storage.sql.ledger.spending_process import CAP, NOON, TENANT

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")
ROOT = Path(__file__).parents[4]
CALLS = max(60, SEARCH // 20)


def spent_by(url: str, *, killed: int | None = None) -> list[dict[str, Any]]:
    """Return what four processes have spent that begin at once, of which one may be killed."""
    command = [sys.executable, "-m", "tests.storage.sql.ledger.spending_process", url]
    order = sorted(range(4), key=lambda number: number != killed)
    processes = {
        number: subprocess.Popen(
            [*command, str(number), str(CALLS), str(int(number == killed))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in order
    }
    found = dict[int, dict[str, Any]]()
    for number in order:
        out, fault = processes[number].communicate(timeout=600)
        assert not fault, fault
        found[number] = json.loads(out)
        if number == killed:
            expire_lease(url, number)
    return [found[number] for number in range(4)]


def expire_lease(url: str, number: int) -> None:
    """Let the lease of a process that was killed run out at once."""
    engine = engine_of(url)
    with write_transaction(engine) as connection:
        connection.execute(update(leases).where(leases.c.thread_id == f"thread-{number}").values(expires=1))
    engine.dispose()


def day_of(url: str) -> AccountBudget:
    engine = engine_of(url)
    listed = SQLBudgets(engine, tenant=TENANT, clock=lambda: NOON).listed()
    engine.dispose()
    return next(one for one in listed if one.window == "day")


def amount_of(found: dict[str, Any]) -> Amount:
    return Amount(found["tokens"], Decimal(found["usd"]), found["calls"])


@pytest.mark.timeout(300 if not SEARCH else 0)
@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"])
def test_four_processes_never_overspend_a_day(request: pytest.FixtureRequest, database: str) -> None:
    url = request.getfixturevalue(f"{database}_url")
    engine = engine_of(url)
    migrate(engine)
    engine.dispose()
    found = spent_by(url, killed=3)
    day = day_of(url)

    used = sum((amount_of(one) for one in found), Amount())
    left_open = amount_of(found[3]["open"])
    for what in ("tokens", "usd", "calls"):
        assert getattr(day.spent, what) + getattr(day.reserved, what) <= getattr(CAP, what)
        assert getattr(day.spent, what) + getattr(day.reserved, what) == getattr(used + left_open, what)
    assert day.reserved in (Amount(), left_open)
    refused = [one for part in found[:3] for one in part["refused"] if one[0] == "=tenant@day"]
    assert refused, "the day is too short for all of them"
    for _, what, wanted in refused:
        held = getattr(day.spent, what) + getattr(day.reserved, what)
        assert held + Decimal(wanted) > getattr(CAP, what), "a call was refused while there was room"
