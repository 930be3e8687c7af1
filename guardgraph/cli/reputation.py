"""`guardgraph reputation`: what settled awards show of the bidders in auctions."""

from __future__ import annotations

from collections.abc import Mapping

import click

from guardgraph.cli.confirmation import confirm, yes_option
from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, nearest_text

__all__ = ("reputation_group",)


@click.group("reputation", epilog="\b\nExample:\n  guardgraph reputation list")
def reputation_group() -> None:
    """Inspect the reputation of bidders in auctions, or forget it."""


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


@reputation_group.command(
    "forget",
    short_help="Forget the awards of bidders.",
    epilog="\b\nExample:\n  guardgraph reputation forget press",
)
@click.argument("agents", nargs=-1, required=True, metavar="AGENT…")
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@yes_option
@database
@json_option
def _forget(agents: tuple[str, ...], *, dry_run: bool, yes: bool, store: Store, as_json: bool) -> int:
    """Delete all settled awards of each AGENT, which then begins anew. That cannot be undone.

    An agent without awards is an error, and then nothing is deleted.
    """
    names = tuple(dict.fromkeys(agents))
    with Runner(store.url, **store.access) as runner:
        found = {name: runner.forget_reputation(name, dry_run=True) for name in names}
        unknown = next((name for name, awards in found.items() if not awards), None)
        if unknown is not None:
            nearest = nearest_text(unknown, [one.agent for one in runner.list_reputations(1_000)])
            raise BadInput(f"no awards of {unknown!r} are stored here{nearest}")
        if not dry_run:
            if not confirm(f"forget {_counted(found)}", yes=yes, as_json=as_json):
                return ExitCode.ERROR
            found = {name: runner.forget_reputation(name) for name in names}
    if as_json:
        agents_found = [{"agent": name, "awards": awards} for name, awards in found.items()]
        write_json({"dry_run": dry_run, "agents": agents_found})
    else:
        click.echo(f"{'would forget' if dry_run else 'forgot'} {_counted(found)}", err=True)
    return ExitCode.OK


def _counted(found: Mapping[str, int]) -> str:
    awards = sum(found.values())
    who = repr(next(iter(found))) if len(found) == 1 else f"{len(found)} agents"
    return f"{awards:,} award{'' if awards == 1 else 's'} of {who}"
