"""`guardgraph research`: a cited report from documents."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from guardgraph.cli.options import Store, database, json_option, seconds_of, thread_of, usd_of
from guardgraph.cli.run_with_progress import run_with_progress
from guardgraph.research.documents import Skipped, plain_path
from guardgraph.research.graph import OFFLINE, research
from guardgraph.state import BadInput, printable

__all__ = ("research_command",)

_NAMED = 3


@click.command(
    "research",
    short_help="Answer a question from documents, with citations.",
    epilog='\b\nExample:\n  guardgraph research "How do I limit what a team spends?" docs README.md',
)
@click.argument("question")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--model", default=OFFLINE, show_default=True, metavar="MODEL", help="As openai:gpt-5-mini.")
@click.option("--budget", "usd", metavar="USD", help="At most this many US dollars.")
@click.option("--tokens", type=click.IntRange(min=1), metavar="N", help="At most this many tokens.")
@click.option("--deadline", type=float, metavar="SECONDS", help="When the report is due.")
@click.option("--concurrency", type=click.IntRange(min=1), default=4, show_default=True, help="Agents at a time.")
@click.option("--thread", metavar="ID", help="Name of the thread; a random one if none is given.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the report there, not to stdout.")
@database
@json_option
def research_command(
    question: str,
    paths: tuple[str, ...],
    *,
    model: str,
    usd: str | None,
    tokens: int | None,
    deadline: float | None,
    concurrency: int,
    thread: str | None,
    out: Path | None,
    store: Store,
    as_json: bool,
) -> int:
    """Answer QUESTION from the documents in PATH… with a report whose citations are checked.

    Documents are text, Markdown, HTML and PDF files, or folders of them.
    """
    if not question.strip():
        raise BadInput("the question is empty; give one, in quotes")
    money = usd_of("--budget", usd)
    here = Path.cwd()
    arguments: dict[str, Any] = {
        "paths": [path and str(plain_path(here / path)) for path in paths],
        "root": str(here),
        "model": _absolute_model(model),
        "usd": None if money is None else str(money),
        "tokens": tokens,
        "deadline": seconds_of(deadline),
        "concurrency": concurrency,
    }
    name = thread_of(thread)
    return run_with_progress(
        lambda runner: runner.run("research", question, thread_id=name, arguments=arguments),
        name,
        store,
        graphs={"research": partial(research, on_skipped=None if as_json else _print_skipped)},
        as_json=as_json,
        out=out,
    )


def _absolute_model(model: str) -> str:
    """Return the name of a model with an absolute path, if it has one."""
    head, sign, file = model.partition("offline:replay:")
    return model if head or not sign or not file else f"{sign}{plain_path(Path.cwd() / file)}"


def _print_skipped(skipped: list[Skipped]) -> None:
    names = "; ".join(f"{one.name} {one.reason}" for one in skipped[:_NAMED])
    more = f" (and {len(skipped) - _NAMED} more)" if len(skipped) > _NAMED else ""
    count = "1 file" if len(skipped) == 1 else f"{len(skipped)} files"
    click.secho(printable(f"{count} not read in full: {names}{more}"), err=True, dim=True)
