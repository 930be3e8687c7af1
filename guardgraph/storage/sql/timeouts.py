"""How long a database server may take: for a lock, for a statement, for an answer.

The server ends what waits for a lock, or takes too long; the client gives up on a server that does not answer at all.
So every call ends, and with a typed error: `StorageBusy` from the server, `StorageUnavailable` from the client.
"""

from __future__ import annotations

from collections.abc import Generator
from math import ceil
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import URL, Dialect, Engine, event

from guardgraph.state import BadInput

__all__ = ("Timeouts", "check_options", "connect_arguments", "limit_server", "refused_option")

_CONNECT = 10
"""Seconds in which a server has to accept a connection, if the address names no `connect_timeout`."""


class Timeouts(NamedTuple):
    """Seconds that a server may take; all follow from `busy_timeout`."""

    lock: float
    """For one lock: `busy_timeout`."""
    statement: float
    """For one statement with all its locks, and between two statements of a transaction: four times as long, at least
    two seconds."""
    answer: float
    """For any sign of the server: one second more, so that the server's own error comes first."""

    @classmethod
    def of(cls, busy_timeout: float) -> Timeouts:
        """Return the limits that follow from `busy_timeout`."""
        statement = max(4 * busy_timeout, 2.0)
        return cls(lock=max(busy_timeout, 0.001), statement=statement, answer=statement + 1)


def connect_arguments(address: URL, timeouts: Timeouts) -> dict[str, Any]:
    """Return the arguments of the driver that limit waiting, but for those that the address names itself."""
    arguments: dict[str, Any] = {"connect_timeout": min(max(ceil(timeouts.answer), 2), _CONNECT)}
    if address.get_backend_name() == "postgresql":
        arguments |= {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    else:
        arguments |= {"read_timeout": timeouts.answer, "write_timeout": timeouts.answer}
    return {name: value for name, value in arguments.items() if name not in address.query}


def check_options(engine: Engine) -> None:
    """Refuse what a driver cannot make of the options of an address, which are texts, with a `BadInput`."""

    def connect(dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        threshold = options.get("prepare_threshold")  # of psycopg; poolers want 0 or none
        if isinstance(threshold, str):
            options["prepare_threshold"] = int(threshold) if threshold.isdigit() else None
        try:
            return dialect.connect(*arguments, **options)
        except (TypeError, ValueError) as error:
            raise refused_option(error) from error

    event.listen(engine, "do_connect", connect)


def refused_option(error: Exception) -> BadInput:
    """Return the error for an option of an address that cannot be used."""
    return BadInput(f"the driver does not take an option of the database address: {error}")


def limit_server(engine: Engine, timeouts: Timeouts) -> None:
    """Set the limits on every new connection of `engine`, before its first query.

    So is what an address or a database may set otherwise: a statement is not committed by itself, transactions see what
    others have committed, and text is UTF-8.
    """
    prepare = _limit_postgresql if engine.dialect.name == "postgresql" else _limit_mysql
    event.listen(engine, "connect", lambda connection, _record: prepare(connection, timeouts), insert=True)


def _limit_postgresql(connection: Any, timeouts: Timeouts) -> None:
    if hasattr(connection, "wait") and hasattr(connection, "pgconn"):  # psycopg 3, which has no limit for an answer
        _limit_answers(connection, timeouts.answer)
    limits = {
        "lock_timeout": timeouts.lock,
        "statement_timeout": timeouts.statement,
        "idle_in_transaction_session_timeout": timeouts.statement,
    }
    settings = {name: str(ceil(seconds * 1000)) for name, seconds in limits.items()}
    settings |= {"default_transaction_isolation": "read committed", "client_encoding": "UTF8"}
    connection.autocommit = True  # a rollback would take them back
    for name, setting in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, setting))
    connection.autocommit = False  # also where the address names another


def _limit_answers(connection: Any, seconds: float) -> None:
    """Make psycopg close a connection on which nothing has come for so long."""
    wait = connection.wait

    def limited(generator: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        return wait(_until(generator, connection, seconds), *args, **options)

    connection.wait = limited


def _until(generator: Generator[Any, Any, Any], connection: Any, seconds: float) -> Generator[Any, Any, Any]:
    """Drive one of psycopg's generators, which is sent 0 where nothing was ready for a tenth of a second."""
    from psycopg import OperationalError

    until = monotonic() + seconds
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if ready:
                until = monotonic() + seconds
            elif monotonic() > until:
                connection.pgconn.finish()
                raise OperationalError(f"the server has not answered for {seconds:g} s")
            wanted = generator.send(ready)
    except StopIteration as end:
        return end.value


def _limit_mysql(connection: Any, timeouts: Timeouts) -> None:
    """Set the limits, locks in whole seconds. Transactions read what is committed, so that writes lock no gaps."""
    lock = max(ceil(timeouts.lock), 1)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = %s, SESSION lock_wait_timeout = %s", (lock, lock))
        if "mariadb" in connection.get_server_info().lower():
            cursor.execute("SET SESSION max_statement_time = %s", (timeouts.statement,))
        else:
            cursor.execute("SET SESSION max_execution_time = %s", (ceil(timeouts.statement * 1000),))
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    connection.autocommit(False)  # also where the address names another
