"""`guardgraph reputation`: what settled awards show of the bidders in auctions."""

from __future__ import annotations

import click

from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner

__all__ = ("reputation_group",)


@click.group("reputation", epilog="\b\nExample:\n  guardgraph reputation list")
def reputation_group() -> None:
    """Inspect the reputation of bidders in auctions."""


@reputation_group.command(
    "list", short_help="List the bidders and their reputation.", epilog="\b\nExample:\n  guardgraph reputation list"
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most this many."
)
@database
@json_option
def _list(*, limit: int, store: Store, as_json: bool) -> None:
    """List the bidders with what their latest awards show, those first that were awarded something last.

    `reliability` is how likely an award succeeds, `overrun` how many times its bid an award costs.
    """
    with Runner(store.url, **store.access) as runner:
        found = runner.list_reputations(limit)
    if as_json:
        write_json([{**one._asdict(), "reliability": one.reliability, "overrun": one.overrun} for one in found])
        return
    if not found:
        click.echo("no awards are stored here", err=True)
        return
    rows = [
        (one.agent, str(one.awards), str(one.done), f"{one.reliability:.2f}", f"{one.overrun:.2f}") for one in found
    ]
    print_table(("agent", "awards", "done", "reliability", "overrun"), rows)
