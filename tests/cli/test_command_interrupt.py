from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house.sources import ROOT
from tests.storage.sql.leased import expire_leases

TEAM = """
import time
from pathlib import Path
from guardgraph.graphs import supervisor
from guardgraph.agents import Agent
from guardgraph.state import Plan, Subtask

def plan(request):
    if request.round > 1:
        return Plan()
    chain = [Subtask(id=f"s{n}", goal=f"g{n}", depends_on=(f"s{n - 1}",) if n else ()) for n in range(4)]
    return Plan(subtasks=tuple(chain))

def work(request):
    time.sleep(0.4)
    with Path(__file__).with_name("worked").open("a") as file:
        file.write(request.goal + "\\n")
    return request.goal

def team():
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=work)])

def plan_many(request):
    return Plan(subtasks=tuple(Subtask(id=f"s{n}", goal=f"g{n}") for n in range(6)))

def hang(request):
    with Path(__file__).with_name("worked").open("a") as file:
        file.write(request.goal + "\\n")
    time.sleep(60)

def first_only(request):
    if request.goal != "g0" and not Path(__file__).with_name("resumed").exists():
        time.sleep(60)
    return work(request)

def mixed():
    return supervisor(planner=Agent("planner", run=plan_many), workers=[Agent("worker", run=first_only)])

def hanging():
    return supervisor(planner=Agent("planner", run=plan_many), workers=[Agent("worker", run=hang)], concurrency=2)

def slow_to_build():
    with Path(__file__).with_name("worked").open("a") as file:
        file.write("built\\n")
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a slow team."""
    (tmp_path / "slow_team.py").write_text(TEAM)
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GUARDGRAPH_DB": f"sqlite:///{folder}/runs.db"}
    return subprocess.Popen(
        [sys.executable, "-m", "guardgraph", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hears_ctrl_c,
    )


def hears_ctrl_c() -> None:
    """Undo what a shell does to what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def worked(folder: Path) -> list[str]:
    return (folder / "worked").read_text().split() if (folder / "worked").exists() else []


def until_worked(folder: Path, count: int) -> None:
    limit = time.monotonic() + 30
    while len(worked(folder)) < count and time.monotonic() < limit:
        time.sleep(0.02)
    assert len(worked(folder)) >= count


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_run_that_was_stopped_or_killed_goes_on_where_it_was(folder: Path, signal_number: int, code: int) -> None:
    first = command(folder, "run", "slow_team:team", "--input", '"x"', "--thread", "t")
    until_worked(folder, 1)
    first.send_signal(signal_number)
    out, err = first.communicate(timeout=30)
    assert (first.returncode, out) == (code, "")
    if signal_number == signal.SIGINT:
        assert "not finished; go on with: guardgraph resume t" in err
    before = worked(folder)
    assert 1 <= len(before) < 4

    if signal_number == signal.SIGKILL:
        expire_leases(f"sqlite:///{folder}/runs.db")
    second = command(folder, "resume", "t")
    out, err = second.communicate(timeout=30)

    assert second.returncode == 0, err
    assert '"value": "g3"' in out
    again = worked(folder)[len(before) :]
    in_flight = before[-1:] if signal_number == signal.SIGKILL else []
    assert set(worked(folder)) == {"g0", "g1", "g2", "g3"}
    assert not set(again) & set(before) - set(in_flight)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_second_ctrl_c_ends_a_queue_of_agents_at_once_and_prints_how_to_resume(
    folder: Path, options: tuple[str, ...]
) -> None:
    process = command(folder, "run", "slow_team:hanging", "--input", '"x"', "--thread", "t", *options)
    until_worked(folder, 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two signals at once would be one
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert len(worked(folder)) == 2
    last_words = f"stopped by Ctrl-C; go on with: guardgraph resume t --db sqlite:///{folder}/runs.db"
    if options:
        assert (json.loads(out), err) == ({"error": "Interrupted", "message": last_words}, "")
    else:
        assert (out, err.splitlines()[-1]) == ("", f"guardgraph: {last_words}")


def test_what_has_ended_before_a_second_ctrl_c_does_not_run_again(folder: Path) -> None:
    process = command(folder, "run", "slow_team:mixed", "--input", '"x"', "--thread", "t")
    until_worked(folder, 1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert (process.returncode, worked(folder)) == (130, ["g0"])
    (folder / "resumed").touch()

    second = command(folder, "resume", "t")
    out, err = second.communicate(timeout=60)

    assert second.returncode == 0, (out, err)
    assert sorted(worked(folder)) == [f"g{n}" for n in range(6)]


def test_ctrl_c_before_any_agent_has_begun_is_one_line(folder: Path) -> None:
    process = command(folder, "run", "slow_team:slow_to_build", "--input", '"x"', "--thread", "t")
    until_worked(folder, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err.strip()) == (130, "", "guardgraph: stopped by Ctrl-C")


def test_ctrl_c_while_the_command_is_being_imported_is_one_line(folder: Path) -> None:
    (folder / "click.py").write_text("import time\nopen('worked', 'w').write('imported')\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "guardgraph", "--version"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        text=True,
        stderr=subprocess.PIPE,
    )
    until_worked(folder, 1)
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=20)[1] == "guardgraph: stopped by Ctrl-C\n"
    assert process.returncode == 130
