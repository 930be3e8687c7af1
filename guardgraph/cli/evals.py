"""`guardgraph eval`: score a graph by a suite of questions."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from guardgraph import evals
from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.graph_loader import graph_at
from guardgraph.cli.options import database_url, json_option, url_of
from guardgraph.cli.output import prints_to_stderr, write_json
from guardgraph.evals.metrics import CitationsValid, FactsFound, StatusAsExpected
from guardgraph.research.documents import read_documents
from guardgraph.research.graph import OFFLINE, team_of
from guardgraph.research.library import Library
from guardgraph.state import BadInput, to_json

__all__ = ("eval_group",)

_SUITES = {"research": ("research.yaml", "workshop")}
"""The packaged suites, each with its file and the folder of its documents."""


@click.group("eval", epilog="\b\nExample:\n  guardgraph eval run research --name before")
def eval_group() -> None:
    """Score graphs end to end."""


@eval_group.command(
    "run",
    short_help="Run a suite of cases, and print the scores.",
    epilog="\b\nExample:\n  guardgraph eval run cases.yaml --graph my_teams:vendors --baseline before",
)
@click.argument("suite", metavar="research|FILE", default="research")
@click.option("--graph", metavar="MODULE:GRAPH", help="The graph to score; else the research graph.")
@click.option("--documents", multiple=True, metavar="PATH", help="What the research graph reads; may be repeated.")
@click.option("--model", default=OFFLINE, show_default=True, metavar="MODEL", help="Of the research graph.")
@click.option("--name", metavar="RUN", help="Name of this run; one that was cut off goes on under its name.")
@click.option("--baseline", metavar="RUN", help="An earlier run to compare with.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only cases with this tag; may be repeated.")
@click.option("--concurrency", type=click.IntRange(min=1), default=2, show_default=True, help="Cases at a time.")
@database_url
@json_option
def _run(
    suite: str,
    *,
    graph: str | None,
    documents: tuple[str, ...],
    model: str,
    name: str | None,
    baseline: str | None,
    tags: tuple[str, ...],
    concurrency: int,
    db: str | None,
    as_json: bool,
) -> int:
    """Run the cases of a suite, store each as it finishes, and print the scores.

    Exits with 5 where a score of the baseline got worse; without a baseline, where any case fails.
    """
    url = url_of(db)
    cases = evals.load_suite(_suite_file(suite))
    cases = cases.tagged(*tags) if tags else cases
    before = evals.load_report(url, baseline) if baseline else None
    target, sources = _target(suite, graph, documents, model)
    metrics: list[Any] = [StatusAsExpected(), FactsFound()]
    metrics += [CitationsValid(sources)] if sources is not None else []
    with prints_to_stderr():
        report = evals.evaluate(
            cases,
            target,
            store=url,
            metrics=metrics,
            concurrency=concurrency,
            run_name=name,
            progress=None if as_json else _print_progress,
        )
    worse = report.regressions(before) if before else ()
    if as_json:
        write_json({**report.to_json(), "regressions": [to_json(one) for one in worse]})
    else:
        click.echo(str(report))
        for one in worse:
            click.echo(f"worse: {one}")
    return ExitCode.REGRESSION if worse or (before is None and not report.passed) else ExitCode.OK


@eval_group.command(
    "show",
    short_help="Print the scores of a run, or list the runs.",
    epilog="\b\nExample:\n  guardgraph eval show before",
)
@click.argument("run", required=False)
@click.option("--suite", metavar="NAME", help="List only runs of this suite, where RUN is left out.")
@database_url
@json_option
def _show(run: str | None, *, suite: str | None, db: str | None, as_json: bool) -> None:
    """Print the scores of RUN, or list the runs of all suites, newest first."""
    url = url_of(db)
    if run is None:
        names = list(evals.run_names(url, suite))
        nothing = f"no run of suite {suite!r} is stored here" if suite else "no eval run is stored here"
        write_json(names) if as_json else click.echo("\n".join(names) or nothing)
        return
    report = evals.load_report(url, run)
    write_json(report.to_json()) if as_json else click.echo(str(report))


def _suite_file(suite: str) -> Path:
    if suite in _SUITES and not Path(suite).is_file():
        return Path(str(files("guardgraph.evals"))) / "suites" / _SUITES[suite][0]
    return Path(suite)


def _target(suite: str, graph: str | None, documents: tuple[str, ...], model: str) -> tuple[Any, Any]:
    """Return the compiled graph, and how the sources of its citations are read (`None` if they are not known)."""
    if graph is not None:
        return graph_at(graph).compile(), None
    if not documents and suite not in _SUITES:
        raise BadInput("name what is scored: --graph MODULE:GRAPH, or --documents PATH for the research graph")
    own = Path(str(files("guardgraph.evals"))) / "suites" / _SUITES.get(suite, ("", ""))[1]
    paths = documents or (str(own),)
    library = Library(read_documents(paths, root=None if documents else own).documents)
    return team_of(library, model=model).compile(), library.text_of


def _print_progress(progress: Any) -> None:
    row = progress.row
    failed = ", ".join(score.metric for score in row.scores if not score.passed)
    result = row.error or (f"fails {failed}" if failed else "passes")
    click.echo(f"[{progress.done} of {progress.total}] {row.case}: {result}", err=True)
