"""The key of an encrypted database: from a file or the environment, never from the arguments."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from guardgraph.cli.entry import main

KEY, OTHER = (b64encode(bytes([at]) * 32).decode() for at in (1, 2))
RUN = ("run", "tests.runs.team:asking", "--input", '"secret plan"', "--thread", "monday")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKED", str(tmp_path / "worked.txt"))
    monkeypatch.setenv("GUARDGRAPH_DB", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.delenv("GUARDGRAPH_KEY", raising=False)
    (tmp_path / "key").write_text(f"{KEY}\n")
    return tmp_path


def test_a_run_is_encrypted_with_the_key_of_a_file_and_goes_on_with_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ("--key-file", str(folder / "key"))
    assert main([*RUN, *key]) == 4
    err = capsys.readouterr().err
    assert f"runs.db --key-file {folder / 'key'} --answer" in err
    assert b"secret plan" not in b"".join(file.read_bytes() for file in folder.glob("runs.db*"))

    monkeypatch.setenv("GUARDGRAPH_KEY", KEY)
    assert main(["threads", "show", "monday", "--json"]) == 0
    (question,) = json.loads(capsys.readouterr().out)["waiting"]
    assert main(["threads", "fork", "monday", "fork"]) == 0
    assert main(["resume", "fork", "--answer", f"{question['id']}=yes", "--json"]) == 0
    assert main(["threads", "verify"]) == 0
    assert main(["cancel", "monday"]) == 0


@pytest.mark.parametrize("given", [None, OTHER])
@pytest.mark.parametrize(
    "command",
    [
        ["threads", "list"],
        ["threads", "show", "monday"],
        ["threads", "history", "monday"],
        ["threads", "verify"],
        ["threads", "delete", "monday", "--yes"],
        ["resume", "monday"],
        ["cancel", "monday"],
    ],
    ids=" ".join,
)
def test_another_key_or_none_is_an_error_of_its_own(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    given: str | None,
) -> None:
    key = ("--key-file", str(folder / "key"))
    assert main([*RUN, *key, "--json"]) == 4
    capsys.readouterr()
    if given is not None:
        monkeypatch.setenv("GUARDGRAPH_KEY", given)

    assert main([*command, "--json"]) == 2

    error = json.loads(capsys.readouterr().out)
    assert error["error"] == "WrongKey"
    assert "--key-file FILE, or GUARDGRAPH_KEY" in error["message"]
    assert main(["threads", "show", "monday", *key, "--json"]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), ("", "is empty"), ("short", "a key has 16, 24 or 32 bytes"), ("ключ", "it is no text")],
)
def test_a_file_without_a_key_is_bad_input(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    if content is not None:
        (folder / "bad").write_text(content, encoding="utf-8")

    assert main(["threads", "list", "--key-file", str(folder / "bad")]) == 2

    err = capsys.readouterr().err
    assert message in err
    assert not content or content not in err
