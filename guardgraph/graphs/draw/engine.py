"""Calls the layout engine: elkjs, in the JavaScript interpreter QuickJS."""

from __future__ import annotations

import json
from importlib.resources import files
from threading import local
from typing import Any

from guardgraph.state import BadInput, MissingExtra

__all__ = ("SECONDS", "elk_layout")

SECONDS = 60
"""The time after which a layout is given up."""
_MEMORY = 1 << 30
_THREAD = local()
"""An interpreter serves the thread that made it."""
_HOST = """
var window = globalThis, self = globalThis, timers = [], answer = {};
var console = {log() {}, warn() {}, error() {}};
var setTimeout = function (call) { return timers.push(call); }, clearTimeout = function () {};
"""
"""What elkjs expects of a browser."""
_RUN = """
function layOut(text) {
  answer = {};
  new ELK().layout(JSON.parse(text)).then(
    function (graph) { answer.graph = JSON.stringify(graph); },
    function (error) { answer.error = String(error); });
}
"""


def elk_layout(graph: dict[str, Any]) -> dict[str, Any]:
    """Return an ELK graph (elkjs's JSON) with coordinates. Loading the engine takes 0.3 s, once per thread.

    Raises:
        MissingExtra: the extra `draw` is not installed.
        BadInput: the graph takes longer than `SECONDS` of processor time, or more memory than 1 GB.
    """
    context = _context()
    context.set_time_limit(SECONDS)
    try:
        context.get("layOut")(json.dumps(graph))
        while context.execute_pending_job() or context.eval("timers.length && (timers.shift()(), 1)"):
            pass
        found, error = context.eval("answer.graph"), context.eval("answer.error")
    except Exception as raised:
        del _THREAD.context
        raise _too_large(str(raised)) from raised
    if not isinstance(found, str):
        raise _too_large(str(error))
    return json.loads(found)


def _too_large(why: str) -> BadInput:
    why = f"no layout within {SECONDS} s" if "interrupted" in why else why.strip().partition("\n")[0]
    remedy = "draw it as mermaid, text or json, which need no layout, or without the inside of nested graphs"
    return BadInput(f"the graph is too large for a picture ({why or 'no answer'}); {remedy}")


def _context() -> Any:
    """Return the interpreter of this thread, with the engine loaded."""
    try:
        return _THREAD.context
    except AttributeError:
        _THREAD.context = _loaded()
        return _THREAD.context


def _loaded() -> Any:
    try:
        import quickjs
    except ImportError as error:
        raise MissingExtra("quickjs-ng", extra="draw", needed_for="a picture as svg or html") from error
    context = quickjs.Context()
    context.set_memory_limit(_MEMORY)
    context.eval(_HOST)
    context.eval((files(__package__ or "") / "elkjs" / "elk.bundled.js").read_text(encoding="utf-8"))
    context.eval(_RUN)
    return context
