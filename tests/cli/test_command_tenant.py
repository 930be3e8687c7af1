"""`--tenant` and GUARDGRAPH_TENANT: whose threads a command finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from guardgraph.cli.entry import cli, main

OF_NO_TENANT = {"doctor", "eval run", "eval show"}


@pytest.fixture
def thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """A thread of the tenant acme, whose run waits."""
    monkeypatch.setenv("WORKED", str(tmp_path / "worked.txt"))
    monkeypatch.setenv("GUARDGRAPH_DB", f"sqlite:///{tmp_path}/runs.db")
    command = ["run", "tests.runs.team:asking", "--input", '"t"', "--thread", "monday", "--tenant", "acme"]
    assert main(command) == 4
    assert f"guardgraph resume monday --db sqlite:///{tmp_path}/runs.db --tenant acme" in capsys.readouterr().err
    return "monday"


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        elif command is not None:
            yield " ".join((*path, name)), command


def test_every_command_with_a_database_of_runs_takes_a_tenant() -> None:
    options = {name: {parameter.name for parameter in command.params} for name, command in commands(cli)}
    with_database = {name for name, names in options.items() if names & {"db", "into"}}

    assert {name for name in with_database if "tenant" not in options[name]} == OF_NO_TENANT
    assert {"run", "resume", "cancel", "research", "threads list", "threads import"} <= with_database


@pytest.mark.parametrize("command", [["threads", "show"], ["threads", "history"], ["resume"], ["cancel"]])
def test_a_thread_is_found_by_its_tenant_alone(
    thread: str, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ([], ["--tenant", "ACME"]):
        assert main([*command, thread, *tenant, "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["error"] == "UnknownThread"

    monkeypatch.setenv("GUARDGRAPH_TENANT", "acme")
    assert main([*command, thread, "--json"]) in (0, 4)
    assert "UnknownThread" not in capsys.readouterr().out


def test_an_empty_tenant_is_refused(thread: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["threads", "show", thread, "--tenant", "", "--json"]) == 2

    assert json.loads(capsys.readouterr().out)["error"] == "BadInput"


def test_the_runs_of_a_tenant_are_listed(thread: str, capsys: pytest.CaptureFixture[str]) -> None:
    for tenant, found in (("acme", [thread]), ("other", [])):
        assert main(["threads", "list", "--tenant", tenant, "--json"]) == 0
        assert [one["thread_id"] for one in json.loads(capsys.readouterr().out)] == found
