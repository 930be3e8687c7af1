"""`guardgraph costs`: what attempts have cost so far, by agent and model."""

from __future__ import annotations

import click

from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner

__all__ = ("costs_command",)


@click.command(
    "costs", short_help="List what attempts have cost so far.", epilog="\b\nExample:\n  guardgraph costs --json"
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=1_000, show_default=True, metavar="N", help="At most this many."
)
@database
@json_option
def costs_command(*, limit: int, store: Store, as_json: bool) -> int:
    """List what an attempt of each agent has cost with each model, on average.

    `runs` are attempts that gave an answer, `spread` is the standard deviation.
    Later attempts count more: a mean rests on the latest 200, about.
    """
    with Runner(store.url, **store.access) as runner:
        found = runner.costs(limit)
    if as_json:
        write_json([one._asdict() for one in found])
        return ExitCode.OK
    if not found:
        click.echo(f"no costs are known here {store.whose}", err=True)
        return ExitCode.OK
    rows = [
        (
            one.agent,
            one.model,
            str(one.runs),
            f"{one.tokens:.0f}",
            _number(one.spread, 0),
            _number(one.usd, 6),
            _number(one.usd_spread, 6),
            f"{one.calls:.1f}",
        )
        for one in found
    ]
    print_table(("agent", "model", "runs", "tokens", "spread", "usd", "usd spread", "calls"), rows)
    return ExitCode.OK


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
