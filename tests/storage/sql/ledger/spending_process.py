"""A process that spends under a tenant's day, for the test of several at once: `python -m … URL NUMBER CALLS KILLED`.

It prints what its calls have used, as JSON. With `KILLED` it dies in the middle of a call.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

from guardgraph.state import Allowance, Amount, SideAccount, Usage
from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.leases import Claim, acquire
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.migrate import migrate

__all__ = ("CAP", "NOON", "TENANT")

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TENANT = "acme"
CAP = Allowance(tokens=6_000, usd=Decimal("0.9"), calls=120)
SIDES = [
    SideAccount("=tenant@day", "tenant", CAP, "day"),
    SideAccount("=tenant", "tenant", Allowance(calls=1_000)),
]


def spend(url: str, number: int, calls: int, *, killed: bool) -> dict[str, object]:
    """Make calls in a run of its own, until the day's budget is spent or as many as `calls` were made."""
    random, run_id = Random(number), f"run-{number}"
    engine = engine_of(url, busy_timeout=30)
    with write_transaction(migrate(engine)) as connection:
        fence = acquire(connection, Claim(f"thread-{number}", run_id, f"process-{number}", 600, TENANT))
    ledger = RunLedger(engine, run_id, tenant=TENANT, fence=fence, is_new=True, clock=lambda: NOON)
    ledger.reopen(run_id, Allowance())
    thread = SideAccount("=thread", "thread", Allowance(calls=calls))
    ledger.draw_on(run_id, [*SIDES, thread])
    epoch, used, refused = ledger.open(f"{run_id}/a", Allowance()), Amount(), list[tuple[str, str, str]]()
    for call in range(calls * 2):
        amount = Amount(tokens=random.randrange(1, 100), usd=Decimal(random.randrange(20)) / 1_000, calls=1)
        entry, denied = f"{run_id}:{call}", None
        until = time.monotonic() + 20
        while (denied := ledger.reserve(entry, f"{run_id}/a", epoch, amount)) and denied.retryable:
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        if denied is not None:
            refused.append((denied.account, denied.what, str(denied.wanted)))
            continue
        if killed and used.calls == 3:
            print(json.dumps({"killed": True, **_plain(used), "open": _plain(amount)}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        usage = Usage(input_tokens=random.randrange(amount.tokens + 1), usd=amount.usd, calls=1)
        ledger.settle(entry, usage)
        used += Amount(usage.tokens, usage.usd, 1)
    engine.dispose()
    return {**_plain(used), "refused": refused}


def _plain(amount: Amount) -> dict[str, object]:
    return {"tokens": amount.tokens, "usd": str(amount.usd), "calls": amount.calls}


if __name__ == "__main__":
    address, which, most, dies = sys.argv[1:]
    print(json.dumps(spend(address, int(which), int(most), killed=dies == "1")))
