"""Running a trial through the `Runner`."""

from __future__ import annotations

from typing import Any

from guardgraph.runs.run import Run
from guardgraph.runs.runner import Runner
from guardgraph.testing.trial import Trial

__all__ = ("arun_runner", "astream_runner", "run_runner", "stream_runner")

_NAME = "trial"


def run_runner(trial: Trial) -> Any:
    """Run by `Runner.run`; return the outcome, and what is stored of it."""
    with _runner(trial) as runner:
        return _ended(runner, trial, runner.run(_NAME, trial.task, thread_id=trial.thread_id))


def stream_runner(trial: Trial) -> Any:
    """Run by `Runner.stream`; return the outcome, and what is stored of it."""
    with _runner(trial) as runner:
        *_, run = runner.stream(_NAME, trial.task, thread_id=trial.thread_id)
        return _ended(runner, trial, run)


async def arun_runner(trial: Trial) -> Any:
    """Run by `Runner.arun`; return the outcome, and what is stored of it."""
    async with _runner(trial) as runner:
        return await _aended(runner, trial, await runner.arun(_NAME, trial.task, thread_id=trial.thread_id))


async def astream_runner(trial: Trial) -> Any:
    """Run by `Runner.astream`; return the outcome, and what is stored of it."""
    async with _runner(trial) as runner:
        parts = [part async for part in runner.astream(_NAME, trial.task, thread_id=trial.thread_id)]
        return await _aended(runner, trial, parts[-1])


def _runner(trial: Trial) -> Runner:
    if trial.url is None:
        raise AssertionError("the Runner needs the URL of a database")
    return Runner(trial.url, graphs={_NAME: trial.build})


def _ended(runner: Runner, trial: Trial, run: Run) -> list[Any]:
    number = 0
    while run.status == "waiting":
        number += 1
        run = runner.resume(run.thread_id, answers=trial.answers(run.waiting, number))
    return [run.outcome, runner.status(run.thread_id).outcome]


async def _aended(runner: Runner, trial: Trial, run: Run) -> list[Any]:
    number = 0
    while run.status == "waiting":
        number += 1
        run = await runner.aresume(run.thread_id, answers=trial.answers(run.waiting, number))
    return [run.outcome, (await runner.astatus(run.thread_id)).outcome]
