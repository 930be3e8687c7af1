"""Model outputs that are broken in every way in which models and their servers break them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call

__all__ = ("fuzzed",)

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, -1e400, float("nan"), float("inf"), 10**400, "", " ", "\0", "\ud800",
    "\udfff\ud800", "x" * 10_000, "null", "{}", "<data>", "\u202e", [], {}, [[]], {"": ""}, [None], {"a": float("nan")},
    "planner", "__end__", "*", "A", "2030-13-45", b"bytes".hex(),
)  # fmt: skip
_KEYS = (
    "subtasks",
    "id",
    "goal",
    "skill",
    "worker",
    "value",
    "scores",
    "bids",
    "subtask",
    "cost",
    "trusted",
    "\ud800",
    "",
)
_RAW = (
    "", " ", "{", "}", "[", '{"subtasks": [', '{"a": NaN}', '{"value": Infinity}', "null", "true", "1e999", '"\\ud800"',
    "```json\n{}\n```", "Sure! Here is it: {}", '{"worker": "clerk"} {"worker": "payer"}', "\ufeff{}", "{'worker': 1}",
    "[" * 5_000, '{"a":' * 2_000, '{"worker": "clerk", "worker": null}', "\0{}", '{"value": ' + "9" * 5_000 + "}",
)  # fmt: skip


def fuzzed(random: Random, valid: dict[str, Any]) -> Any:
    """Return a model's reply made by `random` of one that is valid: a message, a text, or an exception."""
    kind = random.randrange(10)
    if kind == 0:
        return random.choice(_RAW)
    if kind == 1:
        return _cut(random, json.dumps(valid))
    if kind == 2:
        return _flipped(random, json.dumps(valid))
    if kind == 3:
        return AIMessage(_content(random))
    if kind == 4:
        return AIMessage("", tool_calls=[_tool_call(random, valid) for _ in range(random.randrange(1, 4))])
    if kind == 5:
        bad = invalid_tool_call(name=random.choice([None, "x"]), args=random.choice(_RAW), id=None, error="bad")
        return AIMessage(random.choice(["", "text"]), invalid_tool_calls=[bad])
    if kind == 6:
        return random.choice(
            [ValueError("bad"), TimeoutError(), RuntimeError("\ud800"), KeyError("choices"), OSError()]
        )
    return json.dumps(_mutated(random, valid, depth=0), default=str)


def _mutated(random: Random, value: Any, *, depth: int) -> Any:
    """Return JSON data with something in it changed, removed, doubled or added."""
    if random.random() < 0.15 or depth > 6:
        return random.choice(_VALUES)
    if isinstance(value, dict):
        found = {key: _mutated(random, one, depth=depth + 1) for key, one in value.items() if random.random() > 0.1}
        if random.random() < 0.3:
            found[random.choice(_KEYS)] = random.choice(_VALUES)
        return found
    if isinstance(value, list):
        items = [_mutated(random, one, depth=depth + 1) for one in value]
        return items * random.choice([1, 1, 1, 0, 2, 50])
    return value if random.random() < 0.7 else random.choice(_VALUES)


def _cut(random: Random, text: str) -> str:
    return text[: random.randrange(len(text))]


def _flipped(random: Random, text: str) -> str:
    """Return a text with some characters replaced."""
    chars = [*text]
    for _ in range(random.randrange(1, 6)):
        chars[random.randrange(len(chars))] = random.choice([*'\0\ud800"\\}{,9\n\u2028'])
    return "".join(chars)


def _content(random: Random) -> Any:
    return random.choice(
        [
            "",
            [],
            [{"type": "text", "text": ""}],
            [{"type": "text"}],
            [{"type": "text", "text": "{}"}, "loose"],
            [{"type": "image_url", "image_url": "x"}],
            [{"type": "unknown", "a": 1}],
            [{"type": "reasoning", "reasoning": "hm"}],
            [{}],
            ["a", "b"],
            "\ud800",
        ]
    )


def _tool_call(random: Random, valid: dict[str, Any]) -> dict[str, Any]:
    names = ["lookup", "nothing", "", "Plan", "RouteChoice", "Bids", "\ud800", "x" * 300, "send_message"]
    args: Any = random.choice([valid, {}, _mutated(random, valid, depth=0)])
    return {
        "name": random.choice(names),
        "args": args if isinstance(args, dict) else {"v": str(args)},
        "id": random.choice(["1", "1", None, "", "\ud800"]),
    }
