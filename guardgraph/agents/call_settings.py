"""The setting by which a call of a chat model bounds what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("output_limit", "output_option")

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


def output_option(model: Any) -> str:
    """Return the name of the argument of a call of `model` that bounds its output, in tokens."""
    name = type(model).__name__
    return "num_predict" if "Ollama" in name else "max_output_tokens" if "Google" in name else "max_tokens"


def output_limit(model: Any, settings: Mapping[str, Any]) -> int | None:
    """Return how much a call may write by its settings, or by those of the model; `None` where neither limits it."""
    limits = [*(settings.get(name) for name in _LIMITS), *(getattr(model, name, None) for name in _LIMITS)]
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)
