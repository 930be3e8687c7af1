"""What is known of a node, in words for readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from guardgraph.agents.agent import Agent

__all__ = ("facts_of_agent", "facts_of_node", "guards_of", "model_name")


def guards_of(metadata: object) -> tuple[tuple[str, str], ...] | None:
    """Return the guards of a gate from the metadata of its node; `None` for a node that is no gate."""
    given = metadata.get("guards") if isinstance(metadata, Mapping) else None
    if not isinstance(given, str):
        return None
    parts = (part.partition(":") for part in given.split(";") if part.strip() not in ("", "none"))
    return tuple((gate.strip(), names.strip()) for gate, _, names in parts)


def model_name(agent: Agent) -> str:
    """Return the names of the models of a model agent; empty for another agent."""
    models = agent.models.values() if agent.models else () if agent.model is None else (agent.model,)
    return " | ".join(map(_model_name, models))


def _model_name(model: Any) -> str:
    if isinstance(model, str):
        return model
    for attribute in ("model_name", "model"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return type(model).__name__


def facts_of_agent(agent: Agent, concurrency: int | None = None) -> tuple[str, ...]:
    """Return what is declared of an agent; what has its default value is left out."""
    model = model_name(agent)
    limited = concurrency is not None
    return tuple(
        _present(
            f"model: {model}" if model else "",
            f"kind: {agent.kind}" if not model else "",
            f"tools: {', '.join(map(_tool_name, agent.tools))}" if agent.tools else "",
            f"skills: {', '.join(sorted(agent.skills))}" if agent.skills else "",
            f"attempts: {agent.attempts}" if agent.attempts > 1 else "",
            f"timeout: {agent.timeout:g} s" if agent.timeout is not None else "",
            f"fallback: {agent.fallback.name}" if agent.fallback else "",
            f"agents of its team at a time: {concurrency}" if limited else "",
        )
    )


def facts_of_node(runnable: object, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a node of any graph shows of itself: its tools, its metadata."""
    tools = getattr(runnable, "tools_by_name", None)
    names = [*tools] if isinstance(tools, Mapping) else metadata.get("__tools") or []
    own = {key: value for key, value in metadata.items() if not key.startswith("__") and key != "guards"}
    return tuple(
        _present(
            f"tools: {', '.join(map(str, names))}" if names else "",
            *(f"{key}: {value}" for key, value in own.items() if isinstance(value, str | int | float)),
        )
    )


def _tool_name(tool: Any) -> str:
    name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return str(name or (tool.get("name") if isinstance(tool, Mapping) else "") or type(tool).__name__)


def _present(*facts: str) -> Iterable[str]:
    return filter(None, facts)
