"""Every example runs as a newcomer would run it: offline, without a key, in an empty folder."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from guardgraph.graphs import draw
from tests.house.sources import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WALLED = (
    "import runpy, sys; from tests.house import network; network.block(); sys.argv = sys.argv[1:]; "
    "sys.path.insert(0, sys.argv[0].rpartition('/')[0]); runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""A program that runs a file inside the same wall as the tests."""


def run(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `script` in `folder` with no key and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", "LANGSMITH_TRACING": "false"}
    command = [sys.executable, "-c", WALLED, str(script)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=110
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_says_something(example: Path, tmp_path: Path) -> None:
    done = run(example, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def shown_in(svg: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], list[str]]:
    """Return nodes with their texts, edges, and the legend of a picture; not where they are."""
    root = ElementTree.fromstring(svg)
    nodes = [
        (one.attrib["data-id"], *(text.text or "" for text in one if text.tag.endswith("text")))
        for one in root.iter()
        if "data-id" in one.attrib
    ]
    edges = [
        (one.attrib["data-source"], one.attrib["data-target"], one.attrib["class"])
        for one in root.iter()
        if "data-source" in one.attrib
    ]
    return nodes, sorted(edges), [one.text or "" for one in root.iter() if one.attrib.get("class") == "legend"]


def test_the_picture_is_what_the_graph_draws() -> None:
    example = runpy.run_path(str(ROOT / "examples" / "pictures.py"))
    drawn = draw(example["team"](), title="team", direction="right").svg
    committed = (ROOT / "docs" / "supervisor.svg").read_text(encoding="utf-8")

    command = "guardgraph graph show examples.pictures:team --direction right --out docs/supervisor.svg"
    assert shown_in(committed) == shown_in(drawn), f"draw it anew: {command}"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise SystemExit('it broke')", "it broke"),
        ("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)", "only reach this machine"),
    ],
)
def test_an_example_that_fails_or_leaves_this_machine_is_found(source: str, says: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(source)

    done = run(script, tmp_path)

    assert done.returncode != 0
    assert says in done.stderr
