"""The provider, the name and the settings of a chat model."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel

__all__ = ("origin_of", "settings_of")


def origin_of(model: BaseChatModel) -> LangSmithParams:
    """Return a model's `ls_provider` and `ls_model_name`, as its calls report them to callbacks."""
    return model._get_ls_params()  # pyright: ignore[reportPrivateUsage] - no public method returns them before a call


def settings_of(model: BaseChatModel) -> dict[str, Any]:
    """Return what identifies a model and its settings: its class, `origin_of`, and its own identifying parameters."""
    named = model._identifying_params  # pyright: ignore[reportPrivateUsage] - LangChain's own caches use it too
    return {"class": type(model).__name__, **origin_of(model), **named}
