"""What came of a contest: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.measuring.contest import Comparison, Figures
from bench.measuring.peers import version_of

__all__ = ("Report", "show")

_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one contest, and what they are held against."""

    title: str
    figures: Figures
    comparisons: Sequence[Comparison]
    missing: Sequence[str] = ()
    """Why some did not take part, one line each."""

    @property
    def comparable(self) -> list[Comparison]:
        """The comparisons of which both sides took part."""
        return [one for one in self.comparisons if one.ours in self.figures and one.peer in self.figures]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "title": self.title,
            "figures": self.figures,
            "comparisons": [
                {
                    "ours": one.ours,
                    "peer": one.peer,
                    "quantity": one.quantity,
                    "by": one.by,
                    "median": median(one.of(self.figures)),
                    "at_most": one.at_most,
                    "met": one.is_met(self.figures),
                }
                for one in self.comparable
            ],
            "missing": list(self.missing),
        }


def show(reports: Sequence[Report], *, versions: Sequence[str], as_json: bool) -> None:
    """Print reports, with the machine and the `versions` of the distributions they depend on."""
    machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
    installed = {name: found for name in versions if (found := version_of(name))}
    if as_json:
        told = {"machine": machine, "versions": installed, "reports": [report.to_json() for report in reports]}
        print(json.dumps(told, indent=2))
        return
    console = Console(width=_WIDTH, highlight=False)
    console.print(f"Python {machine['python']}, {machine['cpus']} CPUs; ", end="")
    console.print(", ".join(f"{name} {found}" for name, found in installed.items()), end="\n\n")
    for report in reports:
        console.print(report.title, end="\n\n", markup=False)
        console.print(_measured(report))
        if report.comparable:
            console.print(_compared(report))
        for line in report.missing:
            console.print(f"left out: {line}", markup=False, soft_wrap=True)


def _measured(report: Report) -> Table:
    table = Table("measured", "quantity", box=box.MARKDOWN)
    for column in ("median", "least", "most", "rounds"):
        table.add_column(column, justify="right")
    for name, quantities in report.figures.items():
        for quantity, values in quantities.items():
            spread = (_figure(value) for value in (median(values), min(values), max(values)))
            table.add_row(name, quantity, *spread, str(len(values)))
    return table


def _compared(report: Report) -> Table:
    table = Table("ours", "against", "quantity", "as", box=box.MARKDOWN)
    for column in ("median", "least", "most", "goal"):
        table.add_column(column, justify="right")
    table.add_column("met")
    for one in report.comparable:
        values = one.of(report.figures)
        spread = (_figure(value) for value in (median(values), min(values), max(values)))
        goal = "" if one.at_most is None else f"<= {_figure(one.at_most)}"
        met = {None: "", True: "yes", False: "no"}[one.is_met(report.figures)]
        table.add_row(one.ours, one.peer, one.quantity, one.by, *spread, goal, met)
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
