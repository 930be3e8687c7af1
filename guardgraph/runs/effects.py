"""Side effects that happen at most once for each key, also where the process dies in between.

A row is committed before the effect begins, and its result is stored after it. What was begun and never recorded may
have happened or not: that is `EffectUnknown`, and only its target knows.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

from guardgraph.runtime.concurrency.isolation import run_shielded
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import BadInput, EffectBusy, EffectUnknown, Unserializable, to_json
from guardgraph.storage.effects import EffectRecord, EffectStore
from guardgraph.storage.memory_effects import PROCESS_EFFECTS
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.effects import SQLEffects

__all__ = ("Done", "NotDone", "aonce", "once", "resolve", "stored", "unknown")

_LONGEST_KEY = 4_096


@dataclass(frozen=True, slots=True)
class Done:
    """The effect has happened, with this result."""

    result: JsonValue = None


@dataclass(frozen=True, slots=True)
class NotDone:
    """The effect has not happened, and will not by what was begun earlier."""


_Check = Callable[[str], Done | NotDone]
_ACheck = Callable[[str], Done | NotDone | Awaitable[Done | NotDone]]
_Errors = tuple[type[Exception], ...]


def once(
    key: str,
    call: Callable[[], Any],
    *,
    check: _Check | None = None,
    not_done: _Errors = (),
    saver: SQLSaver | None = None,
) -> JsonValue:
    """Make `call`, at most once for this `key`, and return its result as JSON data; later calls return the same.

    Inside an agent of a `Runner` the key holds in the run's database, for every run and every process. Elsewhere it
    holds in the database of `saver`, or else in this process, which remembers the latest 10,000.

    Args:
        key: names the effect, such as `f"{request.idempotency_key}/mail"` or `"invoice 4711"`.
        call: the effect. What it returns should be JSON data, or have a JSON form as pydantic models have.
        check: asked, with the key, where the effect was begun earlier and its end is not known. By `Done(result)` it is
            recorded, by `NotDone()` made again.
        not_done: exceptions of `call` which mean that nothing has happened: the key is free again. After any other
            exception it may have happened.
        saver: where the key holds outside of a `Runner`.

    Raises:
        EffectUnknown: it was begun earlier, its end was not recorded, and there is no `check`.
        EffectBusy: somebody is at it at this moment.
        Unserializable: it has happened, and what it returned has no JSON form; so has every later call.
        BadInput: the key is empty or longer than 4,096 characters, or `call` is async.
    """
    if inspect.iscoroutinefunction(call):
        raise BadInput("`call` is an async function; use `await aonce(…)`")
    steps = _steps(_store(saver), _checked(key), call, check, not_done)
    return _drive(steps)


async def aonce(
    key: str,
    call: Callable[[], Awaitable[Any]],
    *,
    check: _ACheck | None = None,
    not_done: _Errors = (),
    saver: SQLSaver | None = None,
) -> JsonValue:
    """Do as `once` without blocking the event loop; `call` returns an awaitable, and so may `check`.

    An effect that is cancelled may have happened.
    """
    store = _store(saver)
    steps = _steps(store, _checked(key), call, check, not_done)
    return await _adrive(steps, blocks=store.blocks)


def unknown(saver: SQLSaver, *, limit: int = 100) -> list[EffectRecord]:
    """Return the effects whose end was not recorded, oldest first, those in progress among them."""
    return SQLEffects(saver.engine, tenant=saver.tenant).unknown(limit)


def stored(
    saver: SQLSaver,
    *,
    limit: int = 100,
    only_unknown: bool = False,
    key: str | None = None,
    run_id: str | None = None,
    thread_id: str | None = None,
) -> list[EffectRecord]:
    """Return the effects of a database, oldest first: all, or those that fit all that is given.

    `run_id` is the run in which one was first begun, `thread_id` the thread of that run.
    """
    return SQLEffects(saver.engine, tenant=saver.tenant).stored(
        limit, only_unknown=only_unknown, key=key, run_id=run_id, thread_id=thread_id
    )


def resolve(key: str, answer: Done | NotDone, *, saver: SQLSaver) -> None:
    """Record by hand what became of an effect whose end is not known; one whose end is known stays as it is.

    Raises:
        EffectBusy: somebody is at it at this moment.
    """
    store = SQLEffects(saver.engine, tenant=saver.tenant)
    if not store.lock(_checked(key)):
        raise EffectBusy(key)
    try:
        if isinstance(answer, Done):
            store.begin(key, None)
            store.end(key, _as_json(key, answer.result))
        else:
            store.forget(key)
    finally:
        store.unlock(key)


class _NotCalled(BaseException):
    """The task was cancelled before the caller's code was called."""


class _Step(NamedTuple):
    """One thing to do on the way."""

    work: Callable[[], Any]
    kind: Literal["store", "caller", "unlock"] = "store"
    """Whether it is a call of the store, of the caller's code, or the last one, which is done whatever happens."""


_Steps = Generator[_Step, Any, JsonValue]


def _steps(store: EffectStore, key: str, call: Callable[[], Any], check: Any, not_done: _Errors) -> _Steps:
    """Yield what is to be done, in order; the caller does it and sends the result, or throws what it has raised."""
    if not (yield _Step(partial(store.lock, key))):
        raise EffectBusy(key)
    try:
        found: EffectRecord | None = yield _Step(partial(store.begin, key, _run_id()))
        if found is not None and found.is_done:
            return _result_of(found)
        if found is not None:
            if check is None:
                raise EffectUnknown(key, since=found.started)
            answer = yield _Step(partial(check, key), "caller")
            if isinstance(answer, Done):
                return (yield from _ended(store, key, answer.result))
            if not isinstance(answer, NotDone):
                raise BadInput(f"`check` must return Done(…) or NotDone(), got {answer!r:.200}")
        try:
            result = yield _Step(call, "caller")
        except (*not_done, _NotCalled):
            yield _Step(partial(store.forget, key))
            raise
        return (yield from _ended(store, key, result))
    finally:
        yield _Step(partial(store.unlock, key), "unlock")


def _ended(store: EffectStore, key: str, result: object) -> _Steps:
    """Record the end of an effect, also where its result cannot be stored; return the result as it is stored."""
    try:
        text = _as_json(key, result)
        yield _Step(partial(store.end, key, text))
    except Unserializable:
        yield _Step(partial(store.end, key, None))
        raise
    return json.loads(text)


def _drive(steps: _Steps) -> JsonValue:
    try:
        step = next(steps)
        while True:
            try:
                done = step.work()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration as end:
        return end.value


async def _adrive(steps: _Steps, *, blocks: bool) -> JsonValue:
    cancelled, is_thrown = None, False
    try:
        step = next(steps)
        while True:
            try:
                if blocks and step.kind != "caller":
                    done, late = await _shielded(step.work)
                    cancelled = cancelled or late
                else:
                    done = step.work()
                    done = await done if inspect.isawaitable(done) else done
            except BaseException as error:
                step = steps.throw(error)
                continue
            step = steps.send(done)
            if cancelled is not None and not is_thrown and step.kind != "unlock":
                is_thrown = True
                step = steps.throw(cancelled if step.kind == "store" else _NotCalled())
    except StopIteration as end:
        if cancelled is not None:
            raise cancelled from None
        return end.value
    except _NotCalled:
        raise cancelled or asyncio.CancelledError from None


async def _shielded(work: Callable[[], Any]) -> tuple[Any, asyncio.CancelledError | None]:
    """Do `work` of the store to its end; return its result, and with what the task was cancelled meanwhile."""
    done: list[Any] = []
    try:
        await run_shielded(lambda: done.append(work()))
    except asyncio.CancelledError as error:
        if not done:
            raise
        return done[0], error
    return done[0], None


def _store(saver: SQLSaver | None) -> EffectStore:
    execution = execution_context(None)
    if saver is not None:
        return SQLEffects(saver.engine, tenant=saver.tenant)
    return PROCESS_EFFECTS if execution is None else execution.services.effects


def _run_id() -> str | None:
    execution = execution_context(None)
    return execution.position.run_id if execution is not None and execution.position is not None else None


def _checked(key: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadInput(f"`key` must be a text of 1 to {_LONGEST_KEY} characters, got {key!r:.80}")
    return key


def _result_of(found: EffectRecord) -> JsonValue:
    if found.result is None:
        raise Unserializable(
            f"effect {found.key!r} has happened, but its result had no JSON form, or was too large, and was not stored"
        )
    return json.loads(found.result)


def _as_json(key: str, result: object) -> str:
    try:
        return json.dumps(to_json(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unserializable(
            f"effect {key!r} has happened and does not happen again, but what it returned has no JSON form: {error}; "
            "return plain data"
        ) from error
