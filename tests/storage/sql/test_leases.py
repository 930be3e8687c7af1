"""What a lease lets through in one transaction."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from guardgraph.state import StaleWriter
from guardgraph.storage.sql.engine import close_engine, engine_of, write_transaction
from guardgraph.storage.sql.group_commit import group_commit_of
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


def test_leases_of_jobs_that_are_committed_together_are_checked_together_and_a_lost_one_refuses_its_own_alone(
    database_url: str,
) -> None:
    engine = engine_of(database_url)
    with write_transaction(migrate(engine)) as connection:
        taken = [acquire(connection, Claim(f"t-{number}", "r", "me", 60, "")) for number in range(4)]
    with write_transaction(engine) as connection:
        acquire(connection, Claim("t-2", "r", "me", 60, ""))  # once more, so that the one before is lost
    checks: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: checks.append(given[2]))

    writer = group_commit_of(engine)
    futures = [writer.accept(fence.check, fence=fence) for fence in taken]
    for future in futures:
        writer.work_until(future)

    assert [type(future.exception()) for future in futures] == [type(None), type(None), StaleWriter, type(None)]
    selects = [text for text in checks if "epoch" in text and text.startswith("SELECT")]
    assert len(selects) == 1 + 1 + 4  # of all, of the one that was lost, and each alone
    close_engine(engine)


def test_a_lease_that_a_job_gives_back_is_lost_for_those_after_it_in_the_same_transaction(database_url: str) -> None:
    engine = engine_of(database_url)
    with write_transaction(migrate(engine)) as connection:
        taken = [acquire(connection, Claim(f"t-{number}", "r", "me", 60, "")) for number in range(2)]

    writer = group_commit_of(engine)
    jobs = [
        (taken[0], taken[0].check),
        (taken[1], taken[1].check),
        (None, taken[0].release),
        (taken[0], taken[0].check),
    ]
    futures = [writer.accept(work, fence=fence) for fence, work in jobs]
    for future in futures:
        writer.work_until(future)

    assert [type(future.exception()) for future in futures] == [*[type(None)] * 3, StaleWriter]
    close_engine(engine)
