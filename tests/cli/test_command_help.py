from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

import guardgraph
from guardgraph.cli.entry import cli, main


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    """Return the words of a group and of all commands below it."""
    context = click.Context(group)
    found = [path]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        below = (*path, name)
        found += commands(command, *below) if isinstance(command, click.Group) else [below]
    return found


@pytest.mark.parametrize("words", commands(cli), ids=" ".join)
def test_help_fits_a_terminal_and_gives_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main([*words, "--help"]) == 0
    output = capsys.readouterr().out

    assert re.search(rf"Example:\n +guardgraph {' '.join(words)}", output)
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "..." not in output.replace("[ARGS]...", ""), "a summary is cut"


def test_the_list_of_commands_has_the_first_line_of_the_help_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])

    listed = dict(re.findall(r"^  (\w+) {2,}(\w.*)$", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE))
    assert listed == {name: cli.get_command(click.Context(cli), name).get_short_help_str(80) for name in listed}  # type: ignore[union-attr]
    assert list(listed) == cli.list_commands(click.Context(cli))


def test_the_command_is_a_module_too_and_prints_its_version(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "guardgraph", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )

    assert done.stdout == f"guardgraph, version {guardgraph.__version__}\n"
    assert guardgraph.__version__ == version("guardgraph")
