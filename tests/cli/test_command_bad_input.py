from __future__ import annotations

import ctypes
import json
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guardgraph.cli.entry import main
from guardgraph.research import BYTE_LIMIT
from guardgraph.runs import Runner
from guardgraph.state import Task
from guardgraph.storage import RunStore
from guardgraph.storage.sql.engine import engine_of
from tests.house.sources import ROOT
from tests.storage.sql.leased import no_lease

QUESTION = "When are brake pads replaced?"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a document."""
    (tmp_path / "pads.md").write_text("# Pads\n\nReplace brake pads when less than 1.5 millimetres is left.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "ill_teams", raising=False)
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
    output = json.loads(out)
    assert set(output) == {"error", "message"}
    assert line == f"guardgraph: {output['message']}"
    return f"{output['error']}: {output['message']}"


def obey_permissions() -> None:
    """Let what is executed next be bound by permissions, also where root runs the tests."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
            if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
                raise PermissionError("this root may not give its capabilities up")


def refused_by_permissions(*arguments: str) -> str:
    """Return what a command says that is bound by permissions, without the name of the command."""
    done = subprocess.run(
        [sys.executable, "-m", "guardgraph", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=obey_permissions,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line.removeprefix("guardgraph: ")


@pytest.mark.parametrize("command", [("research", QUESTION), ("eval", "run", "--documents")])
def test_a_path_that_is_not_there(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    said = refused(capsys, *command, "nowhere")

    assert said.count("nowhere' does not exist; check the path") == 1
    assert "a path is empty" in refused(capsys, *command, "")


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


def test_a_file_that_may_not_be_read(folder: Path) -> None:
    (folder / "closed.md").write_text("Words.")
    (folder / "closed.md").chmod(0)

    assert refused_by_permissions("research", QUESTION, "closed.md", "--db", "sqlite://") == (
        f"'{folder}/closed.md' cannot be read: Permission denied; check that it exists and that you may read it"
    )
    assert refused_by_permissions("run", "a:b", "--input", "@closed.md", "--db", "sqlite://") == (
        "'closed.md' cannot be read: Permission denied; check the path after @"
    )


def test_a_folder_that_may_not_be_read(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o600)

    said = refused_by_permissions("research", QUESTION, "closed", "--db", "sqlite://")

    assert said == f"folder '{folder}/closed' may not be read; change its permissions or name another"


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
        (("--budget", "1e40"), "--budget must be more than 0 and at most 1,000,000,000 US dollars"),
        (("--budget", "1e400"), "--budget must be more than 0 and at most 1,000,000,000 US dollars"),
        (("--deadline", "0"), "--deadline must be more than 0"),
        (("--deadline", "nan"), "--deadline must be more than 0"),
        (("--tokens", "0"), "Invalid value for '--tokens'"),
        (("--thread", " "), "the name of the thread is empty"),
        (("--out", "nowhere/report.md"), "the folder of 'nowhere/report.md' does not exist"),
        (("--out", "."), "'.' is a folder; name another file with --out"),
        (("--out", ""), "'.' is a folder"),
        (("--db", ""), "--db is empty"),
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
        ("offline:replay:nowhere.jsonl", "UnknownModel: cannot make a model of 'offline:replay:"),
        ("openai:gpt-5-mini", "MissingKey: model 'openai:gpt-5-mini' needs a key: set OPENAI_API_KEY"),
        ("groq:llama", "MissingExtra: model 'groq:llama' needs 'langchain-groq'"),
    ],
)
def test_a_model_that_cannot_be_made(capsys: pytest.CaptureFixture[str], model: str, why: str) -> None:
    assert why in refused(capsys, "research", QUESTION, "pads.md", "--model", model)


def test_an_extra_that_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)

    said = refused(capsys, "research", QUESTION, "pads.md", "--model", "openai:gpt-5-mini")

    assert "MissingExtra: model 'openai:gpt-5-mini' needs 'langchain'" in said
    assert "guardgraph[agents]" in said


@pytest.mark.parametrize("name", ["", "nobody"])
@pytest.mark.parametrize("command", [("resume",), ("threads", "show"), ("threads", "history")])
def test_a_thread_that_is_not_there(capsys: pytest.CaptureFixture[str], command: tuple[str, ...], name: str) -> None:
    assert f"UnknownThread: no thread {name!r}" in refused(capsys, *command, name)


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        ("nameless", "a graph is named as MODULE:GRAPH"),
        (":graph", "a graph is named as MODULE:GRAPH"),
        ("no_such_module:graph", "there is no module 'no_such_module'"),
        ("broken_module:graph", "cannot import 'broken_module': SyntaxError"),
        (
            "raising_module:graph",
            "cannot import 'raising_module': OSError: out of order (raising_module.py:2 in <module>)",
        ),
        ("needing_module:graph", "it needs the module 'not_installed_at_all'"),
        ("json:graph", "'json' has no 'graph'"),
        ("json:__name__", "is no graph, but of type str; name a graph, or a function that returns one"),
        ("./teams.py:team", "not by its file; write teams:team"),
        ("teams/ill.py:team", "not by its file; write ill:team in the folder 'teams'"),
        ("near_module:taem", "'near_module' has no 'taem'; it has team"),
        ("near_module:x", "'near_module' has no 'x'; it has team"),
        ("json:dumps", "cannot be called without arguments"),
    ],
)
@pytest.mark.parametrize("command", [("run", "--input", '"x"'), ("graph", "show")])
def test_a_graph_that_is_not_there(
    capsys: pytest.CaptureFixture[str], folder: Path, command: tuple[str, ...], graph: str, why: str
) -> None:
    (folder / "broken_module.py").write_text("def (")
    (folder / "needing_module.py").write_text("import not_installed_at_all")
    (folder / "near_module.py").write_text("from json import dumps\ndef team(): pass\ndef helper(what): pass\n")
    (folder / "raising_module.py").write_text("\nraise OSError('out of order')")

    assert why in refused(capsys, *command, graph)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("tidy up", "--input is not JSON"),
        ('{"task": ', "--input is not JSON"),
        ("", "--input is not JSON"),
        ("@nowhere.json", "'nowhere.json' cannot be read: No such file or directory"),
        ("@", "there is no name after the @ of --input"),
        ("@.", "'.' cannot be read: Is a directory"),
        ("@latin.json", "'latin.json' is not UTF-8 text (byte 4)"),
        ("@pads.md", "pads.md is not JSON"),
        ("[1]", "a task is a text"),
        ('{"goall": "x"}', "goall"),
        ('{"task": {"goal": "x", "stake": "high"}}', "stake"),
        ('{"task": "x", "taks": 1}', "unknown fields 'taks'"),
        ('{"task": ""}', "the task does not fit"),
    ],
)
def test_a_malformed_input(capsys: pytest.CaptureFixture[str], folder: Path, given: str, why: str) -> None:
    (folder / "latin.json").write_bytes('"caf\u00e9"'.encode("latin-1"))

    assert why in refused(capsys, "run", "json:graph", "--input", given)


def test_a_database_that_cannot_be_written(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert "StorageUnavailable" in refused(capsys, "research", QUESTION, "pads.md", "--db", "sqlite:///nowhere/runs.db")
    (folder / ".guardgraph").write_text("a file, no folder")
    assert "StorageUnavailable: cannot make the folder" in refused(capsys, "research", QUESTION, "pads.md")


@pytest.mark.parametrize("command", [["research", QUESTION, "pads.md"], ["threads", "list"], ["eval", "show"]])
def test_a_file_that_is_no_database(capsys: pytest.CaptureFixture[str], folder: Path, command: list[str]) -> None:
    (folder / "letter.txt").write_text("This is a letter, not a database. " * 100, encoding="utf-8")

    said = refused(capsys, *command, "--db", "sqlite:///letter.txt")

    assert said.startswith("NotADatabase: sqlite:///letter.txt is no SQLite database; name another file")


def test_a_database_that_may_only_be_read(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    main(["research", QUESTION, "pads.md", "--thread", "t", "--json", "--db", "sqlite:///runs.db"])
    run = json.loads(capsys.readouterr().out)
    readonly = "sqlite:///file:runs.db?mode=ro&uri=true"

    assert "StorageReadOnly" in refused(capsys, "research", QUESTION, "pads.md", "--db", readonly)
    (folder / "runs.db").chmod(0o444)
    said = refused_by_permissions("research", QUESTION, "pads.md", "--db", "sqlite:///runs.db")
    assert said.startswith("sqlite:///runs.db cannot be written; fix its permissions")
    assert main(["threads", "show", "t", "--json", "--db", readonly]) == 0
    assert json.loads(capsys.readouterr().out) == run


def test_a_working_directory_that_may_not_be_written(folder: Path) -> None:
    folder.chmod(0o500)

    said = refused_by_permissions("research", QUESTION, "pads.md")

    assert said.startswith("cannot make the folder ")
    assert said.endswith(": Permission denied; name another database, as by --db or Runner(url)")


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


TEAMS = """
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from guardgraph.graphs import Team, pipeline, supervisor
from guardgraph.agents import Agent
from guardgraph.state import RunState

def agent(name):
    return Agent(name, run=lambda request: request.goal)

def twice(): return pipeline([agent("one"), agent("one")])
def twins(): return supervisor(planner=agent("p"), workers=[agent("w"), agent("w")])
def nameless(): return pipeline([agent("")])
def blank(): return pipeline([agent(" ")])
def idle(): return supervisor(planner=agent("p"), workers=[])
def raising(): raise RuntimeError("first\\nsecond")
def fussy(): raise TypeError("of its own")
def asking(what): return pipeline([agent("one")])
def nothing(): return None
def foreign():
    graph = StateGraph(RunState)
    graph.add_node("x", lambda state: {})
    graph.add_edge(START, "x")
    return graph
def wired(change):
    team = Team("team", guards=[], entry=lambda gate: "body", destinations=["body"])
    graph = team.add_node("body", lambda state: {}, to="guard_exit").build()
    change(graph)
    return graph
def edge():
    return wired(lambda graph: graph.add_edge("body", "nowhere"))
def choice():
    return wired(lambda graph: graph.add_conditional_edges("body", lambda state: "a", {"a": "nowhere"}))
def declared():
    return wired(lambda graph: graph.add_node("more", lambda state: {}, destinations=("nowhere",)))
def begun():
    return Team("team", guards=[], entry=lambda gate: "nowhere", destinations=["nowhere"]).build()
def invented():
    team = Team("team", guards=[], entry=lambda gate: "body", destinations=["body"])
    return team.add_node("body", lambda state: Command(goto="nowhere"), destinations=["guard_exit"]).build()
"""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("twice", "BadGraph: agent names must be unique in a team, these are used twice: 'one'"),
        ("twins", "BadGraph: agent names must be unique in a team, these are used twice: 'w'"),
        ("nameless", "BadGraph: an agent needs a name, got ''"),
        ("blank", "BadGraph: an agent needs a name, got ' '"),
        ("idle", "BadGraph: a supervisor needs at least one worker"),
        ("raising", "BadGraph: 'ill_teams:raising' cannot be built: RuntimeError: first; second (ill_teams.py:1"),
        ("fussy", "BadGraph: 'ill_teams:fussy' cannot be built: TypeError: of its own (ill_teams.py:1"),
        ("asking", "BadInput: 'ill_teams:asking' cannot be called without arguments: missing a required argument"),
        ("nothing", "BadInput: 'ill_teams:nothing' is no graph, but of type NoneType"),
        ("edge", "BadGraph: 'ill_teams:edge' is wired wrongly: Found edge ending at unknown node `nowhere`"),
        ("choice", "BadGraph: 'ill_teams:choice' is wired wrongly: At 'body' node, 'condition' branch found unknown"),
        ("declared", "BadGraph: 'ill_teams:declared' is wired wrongly: Found edge ending at unknown node `nowhere`"),
        ("begun", "BadGraph: `entry` names 'nowhere', which is no gate, agent or node of the team"),
    ],
)
@pytest.mark.parametrize("command", [("run", "--input", '"x"'), ("graph", "show"), ("eval", "run", "--graph")])
def test_a_graph_that_cannot_be_built(
    capsys: pytest.CaptureFixture[str], folder: Path, command: tuple[str, ...], name: str, why: str
) -> None:
    (folder / "ill_teams.py").write_text(TEAMS)

    assert why in refused(capsys, *command, f"ill_teams:{name}")


def test_a_graph_without_an_outcome(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "ill_teams.py").write_text(TEAMS)

    said = refused(capsys, "run", "ill_teams:foreign", "--input", '"x"')

    assert "BadGraph: graph 'ill_teams:foreign' has no outcome" in said


def test_a_route_that_is_invented_at_run_time_fails_the_run(folder: Path) -> None:
    (folder / "ill_teams.py").write_text(TEAMS)
    command = [sys.executable, "-m", "guardgraph", "run", "ill_teams:invented", "--input", '"x"']
    done = subprocess.run(
        [*command, "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (1, "")
    outcome = json.loads(done.stdout)["outcome"]
    assert outcome["status"] == "failed"
    assert "'body' went to 'nowhere', which does not exist" in outcome["gaps"][0]["reason"]


def test_a_run_whose_documents_or_graph_are_gone_waits_for_them(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    now = datetime.now(UTC)
    engine = engine_of("sqlite:///runs.db")
    store = RunStore(engine, tenant="")
    for thread, graph, arguments in (
        ("papers", "research", {"paths": [str(folder / "gone.md")]}),
        ("module", "gone_teams:team", {"folder": str(folder)}),
        ("python", "vendors", {}),
    ):
        store.create(thread, thread, graph, arguments, Task(goal="What is left?"), now, claim=no_lease)
    engine.dispose()
    options = ("--db", "sqlite:///runs.db")

    assert "gone.md' does not exist" in refused(capsys, "resume", "papers", *options)
    assert "there is no module 'gone_teams'" in refused(capsys, "resume", "module", *options)
    assert "UnknownGraph: no graph is registered as 'vendors'" in refused(capsys, "resume", "python", *options)
    for thread, how in (
        ("papers", "guardgraph resume papers --db"),
        ("python", "the Runner that has the graph 'vendor"),
    ):
        main(["threads", "show", thread, *options])
        assert f"not finished; go on with: {how}" in capsys.readouterr().err
    (folder / "gone.md").write_text("What is left is a report.")
    assert main(["resume", "papers", *options]) == 0
    assert "What is left is a report. [1]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ("--add-usd", "much"),
        ("--add-usd", "0"),
        ("--add-usd", "1e999"),
        ("--deadline", "0"),
        ("--deadline", "nan"),
        ("--answer", "yes"),
    ],
)
def test_a_resume_that_makes_no_sense(capsys: pytest.CaptureFixture[str], options: tuple[str, str]) -> None:
    assert options[0] in refused(capsys, "resume", "t", *options)


def test_nothing_is_stored_of_what_is_refused(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    url = "sqlite:///runs.db"
    for arguments in (["research", QUESTION, "nowhere"], ["research", QUESTION, "pads.md", "--model", "gpt"]):
        assert main([*arguments, "--db", url]) == 2

    with Runner(url) as runner:
        assert runner.list_runs() == []


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


@pytest.mark.parametrize(
    "command", ["--help", "doctor", "doctor --json", "threads list --json", "threads show x --json"]
)
def test_an_output_that_takes_nothing(folder: Path, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "guardgraph", *command.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )

    assert (done.returncode, done.stderr) == (1, "guardgraph: cannot write to stdout: No space left on device\n")
