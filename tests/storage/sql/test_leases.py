"""What a lease lets through in one transaction."""

from __future__ import annotations

import pytest

from guardgraph.state import StaleWriter
from guardgraph.storage.sql.engine import close_engine, engine_of, write_transaction
from guardgraph.storage.sql.leases import Claim, acquire
from guardgraph.storage.sql.migrate import migrate


def test_what_is_written_after_a_lease_was_given_back_is_refused_in_the_same_transaction_too(
    database_url: str,
) -> None:
    engine = engine_of(database_url)
    with write_transaction(migrate(engine)) as connection:
        fence = acquire(connection, Claim("t", "r", "me", 30.0, ""))
    with write_transaction(engine) as connection:
        fence.check(connection)
        fence.release(connection)
        with pytest.raises(StaleWriter):
            fence.check(connection)
    close_engine(engine)


def test_so_is_what_is_written_after_it_was_taken_over(database_url: str) -> None:
    engine = engine_of(database_url)
    with write_transaction(migrate(engine)) as connection:
        fence = acquire(connection, Claim("t", "r", "me", -1.0, ""))  # which has run out
    with write_transaction(engine) as connection:
        fence.check(connection)
        acquire(connection, Claim("t", "r", "other", 30.0, ""))
        with pytest.raises(StaleWriter):
            fence.check(connection)
    close_engine(engine)
