"""`guardgraph effects`: what is known of side effects, and recording by hand what became of one."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import JsonValue

from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs import effects
from guardgraph.runs.effects import Done, NotDone
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, one_line
from guardgraph.storage.effects import EffectRecord

__all__ = ("effects_group",)

_SHOWN = 60


@click.group("effects", epilog="\b\nExample:\n  guardgraph effects list --unknown")
def effects_group() -> None:
    """Inspect and resolve side effects."""


@effects_group.command("list", epilog="\b\nExample:\n  guardgraph effects list --unknown")
@click.option("--unknown", is_flag=True, help="Only those whose end was not recorded.")
@click.option("--run", "run_id", metavar="ID", help="Only those that began in this run.")
@click.option("--thread", "thread_id", metavar="ID", help="Only those that began in the runs of this thread.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most this many."
)
@database
@json_option
def _list(
    *,
    unknown: bool,
    run_id: str | None,
    thread_id: str | None,
    limit: int,
    store: Store,
    as_json: bool,
) -> None:
    """List side effects, oldest first. One that is `unknown` may have happened or not, or is in progress."""
    with Runner(store.url, **store.access) as runner:
        if thread_id is not None:
            runner.threads.check_stored(thread_id)
        found = effects.stored(runner.saver, limit=limit, only_unknown=unknown, run_id=run_id, thread_id=thread_id)
    if as_json:
        write_json([_facts(one) for one in found])
        return
    if not found:
        click.echo("no effect is unknown" if unknown else "no effects are stored here", err=True)
        return
    rows = [(f"{one.started:%Y-%m-%d %H:%M:%S}", _state(one), one.run_id or "", one.key, _result(one)) for one in found]
    print_table(("begun (UTC)", "state", "run", "key", "result"), rows)


@effects_group.command(
    "resolve",
    short_help="Record what became of an effect whose end is unknown.",
    epilog="\b\nExample:\n  guardgraph effects resolve 'invoice 4711' --result 250",
)
@click.argument("key_of_effect", metavar="KEY")
@click.option("--result", metavar="JSON", help="It has happened, with this result; null for none.")
@click.option("--not-done", is_flag=True, help="It has not happened: the next call makes it.")
@database
@json_option
def _resolve(key_of_effect: str, *, result: str | None, not_done: bool, store: Store, as_json: bool) -> None:
    """Record what became of the side effect KEY, after a look at its target.

    Its attempt is over; the next call with the key returns the result, or makes the effect. One whose end is recorded
    stays as it is.
    """
    if (result is None) is not not_done:
        raise BadInput("name what became of the effect: --result JSON if it has happened, or --not-done")
    answer = NotDone() if result is None else Done(_json(result))
    with Runner(store.url, **store.access) as runner:
        (found,) = effects.stored(runner.saver, limit=1, key=key_of_effect) or [None]
        if found is None:
            raise BadInput(
                f"no effect {key_of_effect!r} is stored here; `guardgraph effects list --unknown` lists them"
            )
        if found.is_done:
            raise BadInput(f"effect {key_of_effect!r} is done, and its end is recorded; it stays as it is")
        effects.resolve(key_of_effect, answer, saver=runner.saver)
    state = "not done" if result is None else "done"
    write_json({"key": key_of_effect, "state": state}) if as_json else click.echo(f"recorded as {state}", err=True)


def _json(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--result is not JSON: {error}; a text has quotes of its own: '\"sent\"'") from error


def _state(effect: EffectRecord) -> str:
    return "done" if effect.is_done else "unknown"


def _result(effect: EffectRecord) -> str:
    if effect.result is None:
        return "not stored" if effect.is_done else ""
    return one_line(effect.result, _SHOWN)


def _facts(effect: EffectRecord) -> dict[str, Any]:
    result = None if effect.result is None else json.loads(effect.result)
    return {
        "key": effect.key,
        "run_id": effect.run_id,
        "started": effect.started.isoformat(),
        "state": _state(effect),
        "result": result,
    }
