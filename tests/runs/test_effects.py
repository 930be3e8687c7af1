"""Side effects: at most once for each key, whoever asks, and never again where nobody knows what became of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner, effects
from guardgraph.runs.effects import Done, NotDone
from guardgraph.state import BadInput, EffectBusy, EffectUnknown, Request, StorageError, Unserializable, new_id
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.effects import SQLEffects


class Receipt(BaseModel):
    number: int


class Sink:
    """Something outside, which counts what is done to it."""

    def __init__(self, result: Any = None, *, raises: BaseException | None = None) -> None:
        self.count = 0
        self._result, self._raises = result, raises

    def __call__(self) -> Any:
        self.count += 1
        if self._raises is not None:
            raise self._raises
        return self._result

    async def later(self) -> Any:
        await asyncio.sleep(0)
        return self()


@pytest.fixture
def saver(sqlite_url: str) -> Iterator[SQLSaver]:
    with SQLSaver.from_url(sqlite_url) as opened:
        yield opened


@pytest.fixture(params=["memory", "saver"])
def place(request: pytest.FixtureRequest, saver: SQLSaver) -> SQLSaver | None:
    """Where the effects are stored, outside of a Runner."""
    return None if request.param == "memory" else saver


@pytest.fixture
def key() -> str:
    """A key that no other test uses: those without a saver share the memory of this process."""
    return new_id()


@pytest.fixture(params=["once", "aonce"])
def once(request: pytest.FixtureRequest) -> Any:
    """Call `once`, or `aonce` on an event loop of its own."""
    if request.param == "once":
        return effects.once
    return lambda key, sink, **options: asyncio.run(effects.aonce(key, sink.later, **options))


@pytest.mark.parametrize(
    ("result", "stored"),
    [(None, None), ({"id": 7}, {"id": 7}), ((1, 2), [1, 2]), (Receipt(number=1), {"number": 1}), ("\ud800", "\ud800")],
)
def test_an_effect_happens_once_and_its_result_stays(
    once: Any, key: str, place: SQLSaver | None, result: Any, stored: Any
) -> None:
    sink = Sink(result)

    assert [once(key, sink, saver=place) for _ in range(3)] == [stored] * 3
    assert sink.count == 1


def test_an_effect_that_raised_may_have_happened(once: Any, key: str, place: SQLSaver | None) -> None:
    sink = Sink(raises=TimeoutError("no answer"))

    with pytest.raises(TimeoutError, match="no answer"):
        once(key, sink, saver=place)
    with pytest.raises(
        EffectUnknown, match=r"its end was not recorded; .*`guardgraph effects resolve`, or pass check="
    ) as caught:
        once(key, sink, saver=place)

    assert caught.value.key == key
    assert sink.count == 1


def test_an_error_that_means_that_nothing_happened_frees_the_key(once: Any, key: str, place: SQLSaver | None) -> None:
    with pytest.raises(ConnectionRefusedError):
        once(key, Sink(raises=ConnectionRefusedError()), not_done=(ConnectionRefusedError,), saver=place)

    assert once(key, Sink(1), saver=place) == 1


def test_a_check_says_that_it_has_happened(once: Any, key: str, place: SQLSaver | None) -> None:
    sink, asked = Sink(raises=OSError()), list[str]()
    with pytest.raises(OSError):  # noqa: PT011
        once(key, sink, saver=place)

    def check(key: str) -> Done:
        asked.append(key)
        return Done({"id": 7})

    assert [once(key, sink, check=check, saver=place) for _ in range(2)] == [{"id": 7}] * 2
    assert (sink.count, asked) == (1, [key])


def test_a_check_says_that_it_has_not_happened(once: Any, key: str, place: SQLSaver | None) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        once(key, Sink(raises=OSError()), saver=place)
    sink = Sink("sent")

    assert [once(key, sink, check=lambda key: NotDone(), saver=place) for _ in range(2)] == ["sent"] * 2
    assert sink.count == 1


async def test_a_check_may_be_async(key: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        await effects.aonce(key, Sink(raises=OSError()).later)

    async def check(key: str) -> Done:
        return Done(1)

    assert await effects.aonce(key, Sink().later, check=check) == 1


def test_a_check_that_answers_otherwise_changes_nothing(once: Any, key: str, place: SQLSaver | None) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        once(key, Sink(raises=OSError()), saver=place)
    sink = Sink()
    wrong: Any = lambda key: True  # noqa: E731

    with pytest.raises(BadInput, match=r"`check` must return Done\(…\) or NotDone\(\), got True"):
        once(key, sink, check=wrong, saver=place)

    assert sink.count == 0


def test_a_result_without_a_json_form_is_said_and_the_effect_is_not_made_again(
    once: Any, key: str, place: SQLSaver | None
) -> None:
    sink = Sink(object())

    with pytest.raises(Unserializable, match=r"has happened and does not happen again, .* return plain data"):
        once(key, sink, saver=place)
    with pytest.raises(Unserializable, match="has happened, but its result had no JSON form"):
        once(key, sink, saver=place)

    assert sink.count == 1


@pytest.mark.parametrize("bad", ["", "x" * 4097, 7, None])
def test_a_key_is_a_text(bad: Any) -> None:
    with pytest.raises(BadInput, match="`key` must be a text of 1 to 4096 characters"):
        effects.once(bad, Sink())


def test_an_async_function_belongs_to_aonce(key: str) -> None:
    with pytest.raises(BadInput, match=r"use `await aonce\(…\)`"):
        effects.once(key, Sink().later)


def test_of_many_at_once_one_does_it(key: str, place: SQLSaver | None) -> None:
    sink, go, answers = Sink(1), threading.Event(), list[Any]()

    def slow() -> Any:
        go.wait(10)
        return sink()

    def work() -> None:
        try:
            answers.append(effects.once(key, slow, saver=place))
        except EffectBusy as error:
            answers.append(error)
            if sum(isinstance(one, EffectBusy) for one in answers) == 7:
                go.set()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, answers))[0] == "1"
    assert sum(isinstance(one, EffectBusy) for one in answers) == 7
    assert sink.count == 1
    assert effects.once(key, slow, saver=place) == 1


@pytest.mark.parametrize(
    "other", ["file.db", "{folder}/link.db", "{folder}/../{name}/file.db", "file:{folder}/file.db?uri=true"]
)
def test_a_file_that_is_opened_by_several_paths_has_one_lock_for_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "file.db")
    sink = Sink()
    url = f"sqlite:///{other.format(folder=tmp_path, name=tmp_path.name)}"
    with SQLSaver.from_url(f"sqlite:///{tmp_path}/file.db") as saver, SQLSaver.from_url(url) as same:

        def slow() -> Any:
            with pytest.raises(EffectBusy):
                effects.once("mail", sink, saver=same, check=lambda key: NotDone())
            return sink()

        effects.once("mail", slow, saver=saver)
    assert sink.count == 1
    assert {path.name for path in tmp_path.glob("*-effects")} == {"file.db-effects"}


def test_databases_in_memory_have_keys_of_their_own() -> None:
    with SQLSaver.from_url("sqlite://") as one, SQLSaver.from_url("sqlite://") as other:
        assert effects.once("mail", lambda: effects.once("mail", Sink(1), saver=other), saver=one) == 1


async def test_one_that_is_cancelled_may_have_happened_and_is_not_locked(key: str, place: SQLSaver | None) -> None:
    began = asyncio.Event()

    async def hangs() -> None:
        began.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(effects.aonce(key, hangs, saver=place))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(EffectUnknown):
        await effects.aonce(key, Sink().later, saver=place)


@pytest.mark.parametrize(("step", "made"), [("lock", 0), ("begin", 0), ("end", 1), ("unlock", 1)])
async def test_a_cancellation_during_a_call_of_the_store_leaves_neither_a_lock_nor_doubt(
    saver: SQLSaver, key: str, monkeypatch: pytest.MonkeyPatch, step: str, made: int
) -> None:
    sink, loop, stored = Sink(1), asyncio.get_running_loop(), getattr(SQLEffects, step)

    def cancelling(store: SQLEffects, *arguments: Any) -> Any:
        loop.call_soon_threadsafe(task.cancel)
        time.sleep(0.05)
        return stored(store, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(SQLEffects, step, cancelling)
        task = asyncio.create_task(effects.aonce(key, sink.later, saver=saver))
        with pytest.raises(asyncio.CancelledError):
            await task

    assert sink.count == made
    assert await effects.aonce(key, sink.later, saver=saver) == 1
    assert sink.count == 1


def test_what_is_unknown_is_listed_and_resolved_by_hand(saver: SQLSaver) -> None:
    for key in ("a", "b"):
        with pytest.raises(OSError):  # noqa: PT011
            effects.once(key, Sink(raises=OSError()), saver=saver)
    assert [one.key for one in effects.unknown(saver)] == ["a", "b"]

    effects.resolve("a", Done("by hand"), saver=saver)
    effects.resolve("b", NotDone(), saver=saver)

    assert effects.unknown(saver) == []
    assert [effects.once(key, Sink("again"), saver=saver) for key in ("a", "b")] == ["by hand", "again"]
    effects.resolve("a", NotDone(), saver=saver)
    assert effects.once("a", Sink("again"), saver=saver) == "by hand"


def test_what_is_in_progress_cannot_be_resolved(saver: SQLSaver) -> None:
    def resolves() -> None:
        effects.resolve("a", Done(), saver=saver)

    with pytest.raises(EffectBusy, match="effect 'a' is in progress, in this process or another one"):
        effects.once("a", resolves, saver=saver)


def test_a_fault_of_the_database_before_the_effect_prevents_it(saver: SQLSaver, tmp_path: Any) -> None:
    effects.once("first", Sink(), saver=saver)
    path, sink = tmp_path / "guardgraph.db", Sink(1)
    path.rename(tmp_path / "away")
    with pytest.raises(StorageError):
        effects.once("a", sink, saver=saver)
    assert sink.count == 0
    (tmp_path / "away").rename(path)

    assert effects.once("a", sink, saver=saver) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_of_a_runner_stores_its_effects_with_the_run(database_url: str, is_async: bool) -> None:
    sink, keys = Sink("sent"), list[str]()

    def work(request: Request) -> Any:
        keys.append(request.idempotency_key)
        return effects.once(request.idempotency_key, sink)

    async def awork(request: Request) -> Any:
        keys.append(request.idempotency_key)
        return await effects.aonce(request.idempotency_key, sink.later)

    with Runner(database_url) as runner:
        run = runner.run(pipeline([Agent("mail", run=awork if is_async else work)]), "Send it")

        assert run.outcome is not None
        assert run.outcome.value == "sent"
        assert keys[0].startswith(f"{run.run_id}/")
        assert effects.once(keys[0], sink, saver=runner.saver) == "sent"
    assert sink.count == 1


def test_an_agent_of_a_plain_graph_uses_the_memory_of_the_process() -> None:
    sink, keys = Sink("sent"), list[str]()

    def work(request: Request) -> Any:
        keys.append(request.idempotency_key)
        return effects.once(request.idempotency_key, sink)

    outcome = pipeline([Agent("mail", run=work)]).compile().invoke({"task": "Send it"})["outcome"]

    assert outcome.value == "sent"
    assert effects.once(keys[0], sink) == "sent"
    assert sink.count == 1


def test_an_effect_whose_end_is_unknown_is_neither_tried_again_nor_given_to_a_fallback(database_url: str) -> None:
    called: list[str] = []

    def work(request: Request) -> Any:
        called.append("mail")
        return effects.once("the mail", Sink(raises=TimeoutError("no answer")))

    def other(request: Request) -> str:
        called.append("other")
        return "done otherwise"

    agent = Agent("mail", run=work, attempts=3, fallback=Agent("other", run=other))
    with Runner(database_url) as runner:
        run = runner.run(pipeline([agent]), "Send it")

    assert called == ["mail", "mail"]
    assert run.outcome is not None
    assert "EffectUnknown: effect 'the mail' may have happened or not: begun at" in run.outcome.gaps[0].reason
