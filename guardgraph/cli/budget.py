"""`guardgraph budget`: what the runs of a tenant or a thread have spent together, and may spend."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from guardgraph.cli.options import Store, age_of, database, json_option, usd_of
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner
from guardgraph.state import Allowance, BadInput
from guardgraph.storage.sql.ledger.shared_budgets import AccountBudget

__all__ = ("budget_group",)

_KINDS = ("tokens", "usd", "calls")
_WINDOWS = ("minute", "hour", "day", "month")


@click.group("budget", epilog="\b\nExample:\n  guardgraph budget show --tenant acme")
def budget_group() -> None:
    """Show and set what a tenant or a thread may spend."""


@budget_group.command(
    "show",
    short_help="Show what is spent, and what may be.",
    epilog="\b\nExample:\n  guardgraph budget show --tenant acme",
)
@click.option("--thread", "thread_id", metavar="ID", help="Only the budgets of this thread.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most this many."
)
@database
@json_option
def _show(*, thread_id: str | None, limit: int, store: Store, as_json: bool) -> None:
    """Show the budgets that the runs of the tenant share, in their present periods.

    `declared` is the cap that a team has declared last, `set` that of `guardgraph budget set`, which replaces it.
    `resets` is when the next period begins, in UTC.
    """
    with Runner(store.url, **store.access) as runner:
        found = runner.budgets(thread_id, limit)
    if as_json:
        write_json([_as_json(one) for one in found])
    elif not found:
        click.echo(f"no budgets of a tenant, a thread or a window are used here {store.whose}", err=True)
    else:
        _print(found)


@budget_group.command(
    "set",
    short_help="Set or raise a cap, or take it back.",
    epilog="\b\nExample:\n  guardgraph budget set --usd 50 --window day --tenant acme\n"
    "  guardgraph budget set --tokens 200000 --thread support-17\n"
    "  guardgraph budget set --clear --window day --tenant acme",
)
@click.option("--usd", metavar="AMOUNT", help="US dollars; 0 lets nothing be spent.")
@click.option("--tokens", type=click.IntRange(min=0), metavar="N", help="Input and output tokens together.")
@click.option("--calls", type=click.IntRange(min=0), metavar="N", help="Model calls.")
@click.option("--window", metavar="WINDOW", help="minute, hour, day, month, or a time such as 90m; none by default.")
@click.option("--thread", "thread_id", metavar="ID", help="The thread; by default it is the tenant's budget.")
@click.option("--clear", is_flag=True, help="Take the caps back: those that teams declare hold again.")
@database
@json_option
def _set(
    *,
    usd: str | None,
    tokens: int | None,
    calls: int | None,
    window: str | None,
    thread_id: str | None,
    clear: bool,
    store: Store,
    as_json: bool,
) -> None:
    """Set what the runs of the tenant, or of a thread, may spend in all, or in each period of --window.

    The limits replace those that teams declare, from the next model call on, also for runs at work. The limits that
    were set before for the same window are replaced as a whole. A limit of 0 stops the runs: nothing may be spent.
    """
    cap = Allowance(usd=usd_of("--usd", usd, may_be_zero=True), tokens=tokens, calls=calls)
    if clear and cap != Allowance():
        raise BadInput("--clear takes all caps back; leave out --usd, --tokens and --calls")
    if not clear and cap == Allowance():
        raise BadInput("nothing to set: give --usd, --tokens or --calls, or --clear")
    if thread_id is not None and not thread_id.strip():
        raise BadInput("--thread is empty; leave it out for the budget of the tenant")
    with Runner(store.url, **store.access) as runner:
        found = runner.set_budget(None if clear else cap, thread_id=thread_id, window=_window_of(window))
    if as_json:
        write_json({"budget": None if found is None else _as_json(found)})
    elif found is None:
        click.echo("no cap is set, and nothing is counted there", err=True)
    else:
        _print([found])


def _window_of(text: str | None) -> Any:
    """Return a window as it was given. Raises `BadInput` for one that does not exist."""
    if text is None or text in _WINDOWS:
        return text
    try:
        return age_of("--window", text)
    except BadInput:
        known = ", ".join(_WINDOWS)
        raise BadInput(f"--window must be one of {known}, or a time such as 90m or 12h; got {text!r}") from None


def _print(budgets: list[AccountBudget]) -> None:
    rows = [
        (
            one.label,
            _amounts({what: getattr(one.spent, what) for what in _KINDS}),
            _amounts({what: getattr(one.reserved, what) or 0 for what in _KINDS}),
            _amounts(_limits(one.declared), zero=True),
            _amounts(_limits(one.operator), zero=True),
            "" if one.resets is None else f"{one.resets:%Y-%m-%d %H:%M}",
        )
        for one in budgets
    ]
    print_table(("budget", "spent", "reserved", "declared", "set", "resets"), rows)


def _limits(cap: Allowance | None) -> dict[str, Any]:
    return {what: limit for what in _KINDS if cap is not None and (limit := getattr(cap, what)) is not None}


def _amounts(amounts: Mapping[str, Any], *, zero: bool = False) -> str:
    """Return amounts in one line, without what is zero, unless `zero`; an unknown price is named."""
    words = [
        "unknown price" if amount is None else f"${amount.normalize():f}" if what == "usd" else f"{amount:,} {what}"
        for what, amount in amounts.items()
        if zero or amount != 0
    ]
    return ", ".join(words) or "-"


def _as_json(one: AccountBudget) -> dict[str, Any]:
    def counted(cap: Allowance | None) -> dict[str, Any] | None:
        return None if cap is None else {what: _plain(limit) for what, limit in _limits(cap).items()}

    return {
        "label": one.label,
        "per": one.per,
        "thread": one.thread_id,
        "window": str(timedelta(seconds=one.window)) if isinstance(one.window, int) else one.window,
        "declared": counted(one.declared),
        "set": counted(one.operator),
        "cap": counted(one.cap),
        "spent": {what: _plain(getattr(one.spent, what)) for what in _KINDS},
        "reserved": {what: _plain(getattr(one.reserved, what)) for what in _KINDS},
        "resets": None if one.resets is None else one.resets.isoformat(),
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else f"{value:f}"
