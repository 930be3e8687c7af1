from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.cli.entry import main
from guardgraph.graphs import supervisor
from guardgraph.research import Library, check_citations, read_documents
from guardgraph.runs import Runner
from guardgraph.state import Plan
from tests.house.sources import ROOT, settings
from tests.research.pdfs import pdf_of

TEAM = """
import time
from langgraph.types import interrupt
from guardgraph.graphs import Subscription, pipeline, reactive, supervisor
from guardgraph.guards import Deadline, Refuse, guard
from guardgraph.agents import Agent
from guardgraph.state import Plan, Subtask

def plan(request):
    return Plan(subtasks=(Subtask(id="one", goal="do " + request.task.goal),)) if request.round == 1 else Plan()

def build(work, **options):
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=work)], **options)

def team():
    return build(lambda request: request.goal)

def failing():
    def work(request):
        raise OSError("out of order")
    return build(work)

def broken():
    return pipeline([Agent("first", run=lambda request: "said"), Agent("second", run=lambda request: 1 / 0)])

def slow():
    def work(request):
        answer = interrupt("may I?")
        time.sleep(2.5)
        return answer
    return build(work, guards=[Deadline(2)])

def asking():
    return build(lambda request: interrupt("may I?"))

def listening():
    worker = Agent("worker", run=lambda request: "stopped")
    return reactive([Subscription(worker, ["stop"])], accepts=["stop"], until=["stop"])

@guard(at="admission", on_trip=Refuse())
def never(view):
    return "never"

def refusing():
    return build(lambda request: "x", guards=[never])

graph = team()
compiled = graph.compile()
number = 7

def talking():
    print("building")
    def work(request):
        print("working")
        return "said"
    return build(work)

def leaving():
    raise SystemExit(7)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a document and a module of teams, which is forgotten afterwards."""
    (tmp_path / "pads.md").write_text("# Pads\n\nReplace brake pads when less than 1.5 millimetres is left.\n")
    (tmp_path / "some_teams.py").write_text(TEAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "some_teams", raising=False)
    monkeypatch.delenv("GUARDGRAPH_DB", raising=False)
    return tmp_path


def printed_json(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the JSON on stdout; with `--json` nothing else is written."""
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_report_goes_to_stdout_and_what_happened_to_stderr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["research", "When are brake pads replaced?", "pads.md", "--thread", "t"]) == 0

    out, err = capsys.readouterr()
    assert out.startswith("# When are brake pads replaced?\n")
    assert '[1] pads.md:3 "Replace brake pads' in out
    assert "researcher ok" in err
    assert "completed · research · thread t" in err
    assert (folder / ".guardgraph" / "runs.db").is_file()


def test_the_command_finds_what_a_runner_stores_by_default(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    team = supervisor(planner=Agent("planner", run=lambda request: Plan()), workers=[Agent("worker", run=str)])
    with Runner(graphs={"team": lambda: team}) as runner:
        runner.run("team", "t", thread_id="mine")

    assert main(["threads", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("mine\tteam\t")
    assert (folder / ".guardgraph" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_json_is_all_that_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "code.py").write_text("x = 1")

    assert (
        main(["research", "brake pads", ".", "--json", "--tokens", "100", "--budget", "1.00", "--deadline", "9"]) == 0
    )

    run = printed_json(capsys)
    assert run["status"] == run["outcome"]["status"] == "completed"
    assert run["usage"]["tokens"] == 0
    library = Library(read_documents([folder], root=folder).documents)
    assert check_citations(run["outcome"]["value"], library.text_of) == []


def test_a_document_cannot_take_over_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "hostile.md").write_text("The quokka was \x1b[31mpainted red\x1b[2J in the year 2019.\n")

    assert main(["research", "Which year was the quokka painted?", "hostile.md"]) == 0

    out, err = capsys.readouterr()
    assert r"was \x1b[31mpainted red\x1b[2J in the year" in out
    assert "\x1b" not in out + err


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_the_users_own_code_prints_goes_to_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert main(["run", "some_teams:talking", "--input", '"x"', *options]) == 0

    out, err = capsys.readouterr()
    message = json.loads(out)["outcome"]["value"] if options else json.loads(out)
    assert message == [{"subtask": "one", "agent": "worker", "value": "said"}]
    assert [line for line in err.splitlines() if line in ("building", "working")][-2:] == ["building", "working"]


def test_a_builder_that_ends_the_program_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "some_teams:leaving", "--input", '"x"']) == 2

    assert "'some_teams:leaving' cannot be built: SystemExit: 7" in capsys.readouterr().err


def test_a_report_can_go_to_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["research", "brake pads", "pads.md", "--out", "report.md"]) == 0

    assert capsys.readouterr().out == ""
    assert (folder / "report.md").read_text("utf-8").startswith("# brake pads\n")


@pytest.mark.parametrize("name", ["team", "graph", "compiled"])
@pytest.mark.parametrize("given", ['"tidy up"', '{"task": "tidy up"}', '{"task": {"goal": "tidy up"}}', "@task.json"])
def test_a_graph_of_the_working_directory_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, given: str
) -> None:
    (folder / "task.json").write_text('{"goal": "tidy up"}')

    assert main(["run", f"some_teams:{name}", "--input", given, "--json"]) == 0

    assert printed_json(capsys)["outcome"]["value"] == [{"subtask": "one", "agent": "worker", "value": "do tidy up"}]


@pytest.mark.parametrize(("name", "code", "status"), [("failing", 1, "failed"), ("refusing", 3, "refused")])
def test_a_run_without_a_value_has_its_own_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, status: str
) -> None:
    assert main(["run", f"some_teams:{name}", "--input", '"x"', "--json"]) == code

    assert printed_json(capsys)["status"] == status


def test_a_run_that_failed_is_an_error_though_an_earlier_stage_has_a_value(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "some_teams:broken", "--input", '"x"', "--json"]) == 1

    outcome = printed_json(capsys)["outcome"]
    assert (outcome["status"], outcome["value"][0]["value"]) == ("failed", "said")


def test_a_run_that_waits_is_answered_from_another_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{folder}/runs.db"
    assert main(["run", "some_teams:asking", "--input", '"x"', "--thread", "t", "--db", url]) == 4
    err = capsys.readouterr().err
    assert f"guardgraph resume t --db {url} --answer" in err

    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert main(["threads", "show", "t", "--db", url, "--json"]) == 0
    question = printed_json(capsys)["waiting"][0]
    assert question["value"] == "may I?"
    assert main(["resume", "t", "--db", url, "--answer", f'{question["id"]}={{"yes": true}}', "--json"]) == 0
    assert printed_json(capsys)["outcome"]["value"][0]["value"] == {"yes": True}


def test_a_run_that_waits_for_an_event_shows_how_one_is_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "some_teams:listening", "--input", '"x"', "--thread", "t"]) == 4
    *_, hint = capsys.readouterr().err.splitlines()
    _, _, resume = shlex.split(hint.removeprefix("answer with: "))[:3]
    answer = shlex.split(hint)[-1]
    assert (resume, answer.partition("=")[2]) == ("t", '{"type": "stop"}')

    main(["resume", "t", "--answer", answer.partition("=")[0] + "=hello"])
    *_, question, hint = capsys.readouterr().err.splitlines()
    assert "'problem': 'an answer is an event, or a list" in question
    assert main(["resume", "t", "--answer", shlex.split(hint)[-1], "--json"]) == 0
    assert printed_json(capsys)["outcome"]["value"][0]["value"] == "stopped"


@pytest.mark.parametrize(("more", "status"), [([], "failed"), (["--deadline", "60"], "completed")])
def test_a_run_that_has_too_little_time_left_is_given_more(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], status: str
) -> None:
    assert main(["run", "some_teams:slow", "--input", '"x"', "--thread", "t", "--json"]) == 4
    (question,) = printed_json(capsys)["waiting"]

    main(["resume", "t", "--answer", f"{question['id']}=yes", *more, "--json"])

    assert printed_json(capsys)["status"] == status


def test_resuming_a_finished_run_prints_it_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["research", "brake pads", "pads.md", "--thread", "t", "--json"])
    first = printed_json(capsys)

    assert main(["resume", "t", "--json"]) == 0
    assert printed_json(capsys) == first


def test_threads_are_listed_shown_and_gone_through(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "some_teams:team", "--input", '"x"', "--thread", "t"])
    main(["run", "some_teams:failing", "--input", '"x"', "--thread", "u"])
    capsys.readouterr()

    assert main(["threads", "list", "--json"]) == 0
    assert [(row["thread_id"], row["status"]) for row in printed_json(capsys)] == [("u", "failed"), ("t", "completed")]
    assert main(["threads", "list", "--status", "failed"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("u\tsome_teams:failing\tfailed\t")
    assert main(["threads", "history", "t", "--json"]) == 0
    steps = [one["step"] for one in printed_json(capsys)]
    assert steps == sorted(steps, reverse=True)
    assert main(["threads", "history", "t"]) == 0
    assert capsys.readouterr().out.startswith("step\tat (UTC)\tcheckpoint")
    assert main(["threads", "show", "u"]) == 0
    assert "failed" in capsys.readouterr().err


def test_an_empty_list_of_threads_has_a_message(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["threads", "list"]) == 0
    assert capsys.readouterr() == ("", "no runs are stored here\n")


def test_a_graph_is_drawn_with_its_guards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "show", "research"]) == 0
    assert "◆ guard_handoff" in capsys.readouterr().out
    assert main(["graph", "show", "some_teams:graph", "--format", "mermaid", "--xray"]) == 0
    assert "guard_dispatch -.-> worker;" in capsys.readouterr().out
    assert main(["graph", "show", "some_teams:team", "--json"]) == 0
    drawn = printed_json(capsys)
    assert {"guard_dispatch", "guard_exit"} < {node["id"] for node in drawn["nodes"] if node["guard"]}
    ends = {edge[side] for edge in drawn["edges"] for side in ("source", "target")}
    assert ends == {node["id"] for node in drawn["nodes"]}


def test_documents_beside_the_working_directory_are_cited_without_the_way_to_them(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pages").mkdir()
    (folder / "pages" / "goats.md").write_text("All goats eat grass, leaves and hay.")
    (folder / "dev").mkdir()
    monkeypatch.chdir(folder / "dev")

    assert main(["research", "What do goats eat?", "../pages", "--json"]) == 0
    assert printed_json(capsys)["outcome"]["value"]["citations"][0]["source"] == str(folder / "pages" / "goats.md")
    for wrong in (["../nowhere"], ["../pages", "--model", "offline:replay:../nowhere"]):
        assert main(["research", "What do goats eat?", *wrong]) == 2
        assert f"'{folder}/nowhere'" in capsys.readouterr().err


def test_a_page_that_cannot_be_read_is_named_on_stderr_and_in_the_result(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pdf = pdf_of(["Goats eat grass."], ["Sheep do too."])
    (folder / "goats.pdf").write_bytes(pdf.replace(b"/Contents 7 0 R", b"/Contents 77 0 R"))
    lost = "goats.pdf was read in part: page 2 could not be read: Object 77 0 not defined."

    assert main(["research", "What do goats eat?", "goats.pdf"]) == 0
    shown = capfd.readouterr()
    assert f"## Not read\n\n- {lost}\n" in shown.out
    assert shown.err.startswith(f"1 file not read in full: {lost}\n")
    assert "\nObject 77" not in shown.err

    assert main(["research", "What do goats eat?", "goats.pdf", "--json"]) == 0
    written = capfd.readouterr()
    assert json.loads(written.out)["outcome"]["value"]["unread"] == [lost]
    assert written.err == ""


def test_the_doctor_shows_what_is_set_and_never_its_value(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")

    assert main(["doctor", "--json"]) == 0
    found = printed_json(capsys)
    assert found["ok"] is True
    assert found["keys"]["OPENAI_API_KEY"] is True
    assert found["keys"]["ANTHROPIC_API_KEY"] is False
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "writable (sqlite:///.guardgraph/runs.db)" in out
    assert "very-secret" not in out + str(found)


def test_the_doctor_lists_every_package_that_is_needed_and_every_extra_for_users(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = settings()["project"]
    needed = {re.split("[<>=]", one)[0] for one in project["dependencies"]}
    extras: dict[str, list[str]] = project["optional-dependencies"]

    main(["doctor", "--json"])
    found = printed_json(capsys)

    assert set(found["packages"]) == {"guardgraph", *needed}
    assert set(found["extras"]) == set(extras) - {"bench", "dev"}
    assert None not in found["packages"].values()


def test_a_sick_database_is_found_by_the_doctor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--db", "sqlite:///nowhere/runs.db"]) == 2
    assert "does not exist" in capsys.readouterr().out


def test_help_and_version_are_printed_without_importing_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "Exit codes:" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert "guardgraph, version" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demo_answers_from_the_projects_own_pages(folder: Path) -> None:
    question = "How do I keep a team of agents inside its budget?"
    command = [sys.executable, "-m", "guardgraph", "research", question, "docs", "README.md"]

    done = subprocess.run(
        [*command, "--db", f"sqlite:///{folder}/runs.db"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "[1]" in done.stdout
    assert "Traceback" not in done.stderr
