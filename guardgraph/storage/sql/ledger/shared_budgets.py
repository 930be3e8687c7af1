"""The budgets of a tenant and its threads as operators see and set them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, Engine, bindparam, delete, or_, select

from guardgraph.state import Allowance, Amount, BadInput, Per, SideAccount, Window, period_at
from guardgraph.state.argument_checks import check_count, shown
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.ledger.shared_rows import (
    SharedPlace,
    cap_of,
    effective_cap,
    in_microseconds,
    moment_of,
    owner_of,
    span_of,
    sums_of,
    window_of,
)
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.shared_account_table import operator_caps, shared_accounts
from guardgraph.storage.sql.statements import insert_or_replace

__all__ = ("AccountBudget", "SQLBudgets", "checked_window")

_WINDOWS = ("minute", "hour", "day", "month")
_capped = Prepared(
    lambda _: select(operator_caps.c.thread_id, operator_caps.c.span).where(
        operator_caps.c.tenant == bindparam("of_tenant"),
        or_(operator_caps.c.thread_id.is_(None), operator_caps.c.thread_id == bindparam("of_thread")),
    )
)


@dataclass(frozen=True, slots=True)
class AccountBudget:
    """A shared account in its present period."""

    label: str
    """What it is called: `tenant acme's day 2026-11-23`."""
    per: Per
    """What is counted together."""
    thread_id: str | None
    """The thread; `None` for what is counted for the tenant."""
    window: Window | None
    """The window, in seconds where it is no calendar window; `None` without one."""
    declared: Allowance | None
    """The cap that was declared last; `None` where only an operator has set one."""
    operator: Allowance | None
    """The limits that an operator has set, which replace those that are declared."""
    spent: Amount
    reserved: Amount
    """What is reserved by calls in flight."""
    resets: datetime | None
    """When the next period begins; `None` without a window."""

    @property
    def cap(self) -> Allowance:
        """The cap that holds."""
        return effective_cap(self.declared or Allowance(), self.operator)


class SQLBudgets:
    """Reads the shared accounts of a tenant, and sets the caps of operators. Every method blocks for a transaction."""

    def __init__(
        self, engine: Engine, *, tenant: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use."""
        self.engine, self._clock = engine_of(engine), clock
        self._tenant = checked_id("tenant", tenant)

    def listed(self, thread_id: str | None = None, limit: int = 100) -> list[AccountBudget]:
        """Return at most `limit` accounts in their present periods: those of the tenant first, or those of a thread.

        Accounts that only an operator has capped are among them.
        """
        check_count("limit", limit)
        now = in_microseconds(self._clock())
        of = shared_accounts.c
        mine = [of.tenant == self._tenant, or_(of.ends == 0, of.ends > now)]
        caps = [operator_caps.c.tenant == self._tenant]
        if thread_id is not None:
            mine.append(of.thread_id == thread_id)
            caps.append(operator_caps.c.thread_id == thread_id)
        order = (of.thread_id.is_not(None), of.thread_id, of.per, of.span, of.account)
        with read_transaction(migrate(self.engine)) as connection:
            rows = connection.execute(select(shared_accounts).where(*mine).order_by(*order).limit(limit)).all()
            set_caps = connection.execute(select(operator_caps).where(*caps)).all()
        by_owner = {bytes(row.owner): row for row in set_caps}
        found = [self._account(row, by_owner.pop(bytes(row.owner), None)) for row in rows]
        return [*(self._unused(row) for row in by_owner.values()), *found][:limit]

    def find(self, thread_id: str | None, window: Window | None) -> AccountBudget | None:
        """Return the account of a thread, or of the tenant, with this window, if it is used or capped."""
        with read_transaction(migrate(self.engine)) as connection:
            return self._found(connection, thread_id, window)

    def set(
        self, cap: Allowance | None, thread_id: str | None = None, window: Window | None = None
    ) -> AccountBudget | None:
        """Set limits that replace the declared ones of a thread or the tenant; `None` takes them back.

        Raises `BadInput` for a cap without tokens, US dollars and calls, or with others, and for an unknown window.
        """
        thread = None if thread_id is None else checked_id("thread_id", thread_id)
        if thread is not None and not thread.strip():
            raise BadInput(f"`thread_id` is empty, got {thread!r}; leave it out for the budget of the tenant")
        owner = owner_of(self._tenant, "tenant" if thread is None else "thread", thread, checked_window(window))
        with write_transaction(migrate(self.engine)) as connection:
            if cap is None:
                connection.execute(delete(operator_caps).where(operator_caps.c.owner == owner))
            else:
                stored = {"cap": _checked(cap).model_dump_json().encode(), "since": in_microseconds(self._clock())}
                row = {"owner": owner, "tenant": self._tenant, "thread_id": thread, "span": span_of(window), **stored}
                connection.execute(insert_or_replace(connection.dialect, operator_caps), row)
            return self._found(connection, thread, window)

    def limited(self, thread_id: str) -> tuple[tuple[Per, Window | None], ...]:
        """Return what an operator has capped that a run of this thread counts in."""
        with read_transaction(migrate(self.engine)) as connection:
            rows = _capped.rows(connection, {"of_tenant": self._tenant, "of_thread": thread_id})
        return tuple(("tenant" if row.thread_id is None else "thread", window_of(row.span)) for row in rows)

    def _found(self, connection: Connection, thread_id: str | None, window: Window | None) -> AccountBudget | None:
        place = self._place(thread_id, window)
        account = select(shared_accounts).where(shared_accounts.c.account == place.key)
        row = connection.execute(account).one_or_none()
        set_cap = connection.execute(select(operator_caps).where(operator_caps.c.owner == place.owner)).one_or_none()
        if row is not None:
            return self._account(row, set_cap)
        return None if set_cap is None else self._unused(set_cap)

    def _place(self, thread_id: str | None, window: Window | None) -> SharedPlace:
        per: Per = "tenant" if thread_id is None else "thread"
        side = SideAccount(f"={per}", per, Allowance(), window)
        return SharedPlace.of(side, self._clock(), tenant=self._tenant, thread_id=thread_id or "")

    def _account(self, row: Any, set_cap: Any) -> AccountBudget:
        return AccountBudget(
            label=bytes(row.label).decode("utf-8", "surrogatepass"),
            per=row.per,
            thread_id=row.thread_id,
            window=window_of(row.span),
            declared=cap_of(bytes(row.declared)),
            operator=None if set_cap is None else cap_of(bytes(set_cap.cap)),
            spent=sums_of(row, "spent"),
            reserved=sums_of(row, "reserved"),
            resets=moment_of(row.ends) if row.ends else None,
        )

    def _unused(self, row: Any) -> AccountBudget:
        """Return an account that an operator has capped, and in which nothing was counted in this period."""
        window = window_of(row.span)
        return AccountBudget(
            label=self._place(row.thread_id, window).label,
            per="tenant" if row.thread_id is None else "thread",
            thread_id=row.thread_id,
            window=window,
            declared=None,
            operator=cap_of(bytes(row.cap)),
            spent=Amount(),
            reserved=Amount(),
            resets=None if window is None else period_at(window, self._clock()).end,
        )


def checked_window(window: object) -> Window | None:
    """Return a window. Raises `BadInput` for one that does not exist."""
    is_span = isinstance(window, int) and not isinstance(window, bool) and 1 <= window <= 366 * 86_400
    if window is not None and window not in _WINDOWS and not is_span:
        raise BadInput(f"`window` must be one of {', '.join(_WINDOWS)}, or a number of seconds; got {window!r}")
    return window  # type: ignore[return-value] -- as it was checked


def _checked(cap: Allowance) -> Allowance:
    if not isinstance(cast("object", cap), Allowance):
        raise BadInput(f"`cap` must be an Allowance, as Allowance(usd='50'), got {shown(cap)}")
    given: Sequence[str] = [name for name, limit in cap if limit is not None]
    other = [name for name in given if name not in ("tokens", "usd", "calls")]
    if other:
        raise BadInput(f"a budget caps `usd`, `tokens` and `calls`, not `{other[0]}`")
    if not given:
        raise BadInput("a budget caps something: give `usd`, `tokens` or `calls`; `None` takes a cap back")
    return cap
