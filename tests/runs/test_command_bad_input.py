from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from guardgraph.runs.command import main
from guardgraph.runs.research import BYTE_LIMIT
from guardgraph.state.sql import RunStore

QUESTION = "When are brake pads replaced?"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a document."""
    (tmp_path / "pads.md").write_text("# Pads\n\nReplace brake pads when less than 1.5 millimetres is left.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("GUARDGRAPH_DB", raising=False)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a refused command writes; the same words come as JSON."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("guardgraph: ")
    assert err.count("\n") == 1
    assert main([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    told = json.loads(out)
    assert set(told) == {"error", "message"}
    assert line == f"guardgraph: {told['message']}"
    return f"{told['error']}: {told['message']}"


def test_a_path_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere' does not exist; check the path" in refused(capsys, "research", QUESTION, "nowhere")


def test_an_empty_folder(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "empty").mkdir()

    assert "holds no document" in refused(capsys, "research", QUESTION, "empty")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [("binary.txt", b"\x00\x01\x02", "binary"), ("latin.txt", "caf\u00e9".encode("latin-1"), "UTF-8")],
)
def test_a_file_that_is_no_text(
    capsys: pytest.CaptureFixture[str], folder: Path, name: str, data: bytes, why: str
) -> None:
    (folder / name).write_bytes(data)

    assert why in refused(capsys, "research", QUESTION, name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "closed.md").write_text("Words.")
    (folder / "closed.md").chmod(0)

    assert "Permission denied" in refused(capsys, "research", QUESTION, "closed.md")


def test_a_file_that_is_too_large(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with (folder / "large.txt").open("wb") as file:
        file.truncate(100_000_000)

    assert f"100,000,000 bytes, more than the limit of {BYTE_LIMIT:,}" in refused(
        capsys, "research", QUESTION, "large.txt"
    )


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question(capsys: pytest.CaptureFixture[str], question: str) -> None:
    assert "BadInput: the question is empty" in refused(capsys, "research", question, "pads.md")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--budget", "much"), "--budget must be an amount of US dollars"),
        (("--budget", "0"), "--budget must be more than 0"),
        (("--budget", "nan"), "--budget must be more than 0"),
        (("--deadline", "0"), "--deadline must be more than 0"),
        (("--deadline", "nan"), "--deadline must be more than 0"),
        (("--tokens", "0"), "Invalid value for '--tokens'"),
        (("--thread", " "), "the name of the thread is empty"),
        (("--out", "nowhere/report.md"), "does not exist"),
    ],
)
def test_an_option_that_makes_no_sense(capsys: pytest.CaptureFixture[str], options: tuple[str, str], why: str) -> None:
    assert main(["research", QUESTION, "pads.md", *options]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("gpt", "UnknownModel: cannot make a model of 'gpt'"),
        ("nobody:model", "UnknownModel: cannot make a model of 'nobody:model'"),
        ("offline:other", "UnknownModel"),
        ("openai:gpt-5-mini", "MissingKey: model 'openai:gpt-5-mini' needs a key: set OPENAI_API_KEY"),
        ("groq:llama", "MissingIntegration: model 'groq:llama' needs 'langchain-groq'"),
    ],
)
def test_a_model_that_cannot_be_made(capsys: pytest.CaptureFixture[str], model: str, why: str) -> None:
    assert why in refused(capsys, "research", QUESTION, "pads.md", "--model", model)


def test_an_extra_that_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)

    said = refused(capsys, "research", QUESTION, "pads.md", "--model", "openai:gpt-5-mini")

    assert "MissingExtra: model 'openai:gpt-5-mini' needs 'langchain'" in said
    assert "guardgraph[agents]" in said


@pytest.mark.parametrize("command", [("resume",), ("threads", "show"), ("threads", "history")])
def test_a_thread_that_is_not_there(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    assert "UnknownThread: no thread 'nobody'" in refused(capsys, *command, "nobody")


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        ("nameless", "a graph is named as MODULE:GRAPH"),
        (":graph", "a graph is named as MODULE:GRAPH"),
        ("no_such_module:graph", "there is no module 'no_such_module'"),
        ("broken_module:graph", "cannot import 'broken_module': SyntaxError"),
        ("needing_module:graph", "it needs the module 'not_installed_at_all'"),
        ("json:graph", "'json' has no 'graph'"),
        ("json:__name__", "is a str, no graph"),
        ("json:dumps", "cannot be called without arguments"),
    ],
)
@pytest.mark.parametrize("command", [("run", "--input", '"x"'), ("graph", "show")])
def test_a_graph_that_is_not_there(
    capsys: pytest.CaptureFixture[str], folder: Path, command: tuple[str, ...], graph: str, why: str
) -> None:
    (folder / "broken_module.py").write_text("def (")
    (folder / "needing_module.py").write_text("import not_installed_at_all")

    assert why in refused(capsys, *command, graph)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("tidy up", "--input is not JSON"),
        ('{"task": ', "--input is not JSON"),
        ("@nowhere.json", "'nowhere.json' cannot be read"),
        ("@pads.md", "pads.md is not JSON"),
        ("[1]", "a task is a text"),
        ('{"goall": "x"}', "goall"),
        ('{"task": {"goal": "x", "stake": "high"}}', "stake"),
        ('{"task": "x", "taks": 1}', "unknown fields 'taks'"),
        ('{"task": ""}', "the task does not fit"),
    ],
)
def test_a_malformed_input(capsys: pytest.CaptureFixture[str], given: str, why: str) -> None:
    assert why in refused(capsys, "run", "json:graph", "--input", given)


def test_a_database_that_cannot_be_written(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert "StorageUnavailable" in refused(capsys, "research", QUESTION, "pads.md", "--db", "sqlite:///nowhere/runs.db")
    (folder / ".guardgraph").write_text("a file, no folder")
    assert "StorageUnavailable: cannot make the folder" in refused(capsys, "research", QUESTION, "pads.md")


def test_a_database_that_is_none(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert "BadInput" in refused(capsys, "threads", "list", "--db", "runs")
    assert "no support for 'oracle' databases" in refused(capsys, "threads", "list", "--db", "oracle://localhost/x")


def test_a_database_of_a_newer_version_is_left_as_it_is(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    main(["research", QUESTION, "pads.md", "--json", "--db", "sqlite:///runs.db"])
    capsys.readouterr()
    with sqlite3.connect(folder / "runs.db") as connection:
        connection.execute("UPDATE guardgraph_version SET version_num = '9999'")
    connection.close()

    said = refused(capsys, "research", QUESTION, "pads.md", "--db", "sqlite:///runs.db")

    assert "MigrationNeeded" in said
    assert "'9999'" in said


@pytest.mark.parametrize("options", [("--add-usd", "much"), ("--add-usd", "0"), ("--answer", "yes")])
def test_a_resume_that_makes_no_sense(capsys: pytest.CaptureFixture[str], options: tuple[str, str]) -> None:
    assert options[0] in refused(capsys, "resume", "t", *options)


def test_nothing_is_stored_of_what_is_refused(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    url = "sqlite:///runs.db"
    for arguments in (["research", QUESTION, "nowhere"], ["research", QUESTION, "pads.md", "--model", "gpt"]):
        assert main([*arguments, "--db", url]) == 2

    assert RunStore(url).list(10) == []


def test_a_thread_keeps_its_answer_when_the_next_task_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    main(["research", QUESTION, "pads.md", "--thread", "t", "--json"])
    before = json.loads(capsys.readouterr().out)

    assert main(["research", QUESTION, "nowhere", "--thread", "t", "--json"]) == 2
    capsys.readouterr()
    assert main(["threads", "show", "t", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == before


@pytest.mark.parametrize("arguments", [["nonsense"], ["research"], ["research", QUESTION], ["run", "a:b"]])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "Usage:" in capsys.readouterr().err
    assert main([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    assert (json.loads(out)["error"], err) == ("UsageError", "")
