"""`guardgraph breakers`: the circuits of agents, tools and models, and how they are closed again."""

from __future__ import annotations

import click

from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, nearest_text

__all__ = ("breakers_group",)


@click.group("breakers", invoke_without_command=True, epilog="\b\nExample:\n  guardgraph breakers --json")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most this many."
)
@database
@json_option
@click.pass_context
def breakers_group(context: click.Context, *, limit: int, store: Store, as_json: bool) -> None:
    """List circuits of what fails too often, or close them.

    Known are those that a guard Breaker(rate=…) judges: agents after the names of
    their teams, tools as tool:NAME, models as model:PROVIDER:NAME. Of an open circuit,
    `seconds` is when one attempt or call is let through to show whether it works again.
    """
    if context.invoked_subcommand is not None:
        return
    with Runner(store.url, **store.access) as runner:
        found = runner.breakers(limit)
    if as_json:
        write_json([{**one._asdict(), "rate": one.rate} for one in found])
        return
    if not found:
        click.echo(f"no circuits are known here {store.whose}", err=True)
        return
    rows = [
        (one.agent, one.state.replace("_", " "), str(one.attempts), str(one.failures), f"{one.seconds:.0f}")
        for one in found
    ]
    print_table(("agent", "state", "attempts", "failures", "seconds"), rows)


@breakers_group.command(
    "reset",
    short_help="Close circuits.",
    epilog="\b\nExample:\n  guardgraph breakers reset supervisor/researcher",
)
@click.argument("agents", nargs=-1, required=True, metavar="AGENT…")
@database
@json_option
def _reset(agents: tuple[str, ...], *, store: Store, as_json: bool) -> None:
    """Close the circuit of each AGENT, tool or model: what is known of it is forgotten.

    Each is named as it is listed. One without a circuit is an error, and then
    nothing is changed.
    """
    names = tuple(dict.fromkeys(agents))
    with Runner(store.url, **store.access) as runner:
        known = [one.agent for one in runner.breakers()]
        for name in names:
            if name not in known:
                raise BadInput(f"no circuit of {name!r} is known here{nearest_text(name, known)}")
        for name in names:
            runner.reset_breaker(name)
    if as_json:
        write_json({"reset": list(names)})
    else:
        click.echo(f"closed {', '.join(names)}", err=True)
