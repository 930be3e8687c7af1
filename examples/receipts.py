"""Receipts as images: a cheap model reads them, a strong one where much depends on it, and none is read twice.

Run it with `python examples/receipts.py`. The models are scripted; give names such as `openai:gpt-5-mini` instead.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.cache.memory import InMemoryCache

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Request


def reader(name: str) -> ScriptedModel:
    """Return a model that describes the image behind the text of its prompt."""

    def read(messages: Sequence[BaseMessage]) -> str:
        (image,) = [block for block in messages[-1].content_blocks if block["type"] == "image"]
        return f"{name} has read {len(base64.b64decode(image.get('base64', '')))} bytes"

    return ScriptedModel(replies=read, input_tokens=900, output_tokens=20)


def choose(request: Request) -> str:
    """Take the strong model for what has to be paid back."""
    return "strong" if "financial" in request.task.categories else "cheap"


def main() -> None:
    """Read three receipts, the last of which is the first one again."""
    models = {"cheap": reader("the cheap model"), "strong": reader("the strong model")}
    team = pipeline([Agent("reader", models=models, choose=choose, cache=InMemoryCache())]).compile()
    for size, categories in ((40_000, []), (60_000, ["financial"]), (40_000, [])):
        image = {"type": "image", "base64": base64.b64encode(bytes(size)).decode(), "mime_type": "image/jpeg"}
        task: dict[str, Any] = {"goal": "Read the receipt.", "categories": categories, "attachments": [image]}
        outcome = team.invoke({"task": task})["outcome"]
        print(f"{outcome.value}, {outcome.usage.tokens} tokens")


if __name__ == "__main__":
    main()
