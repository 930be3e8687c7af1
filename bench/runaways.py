"""Where agents stop that never end by themselves, with guards and without: `python -m bench.runaways`.

Each of them is made with a stock package and a scripted model that reports 100 tokens a call. Without guards only
LangGraph's `recursion_limit` ends them, which is 100 here and 10,007 by default.
"""

from __future__ import annotations

import logging
from itertools import chain

import click
from rich.console import Console
from rich.table import Table

from bench.measuring.peers import Missing
from bench.teams.runaways import RUNAWAYS, run


@click.command(help=__doc__)
def main() -> None:
    logging.disable(logging.WARNING)
    table = Table("runaway", "without guards", "model calls", "tokens", "with guards", "model calls", "tokens")
    for runaway in RUNAWAYS:
        try:
            before, after = run(runaway, with_guards=False), run(runaway, with_guards=True)
        except Missing as error:
            table.add_row(runaway.name, str(error))
            continue
        figures = ((ran.ended, f"{ran.calls:,}", f"{ran.tokens:,}") for ran in (before, after))
        table.add_row(runaway.name, *chain(*figures))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
