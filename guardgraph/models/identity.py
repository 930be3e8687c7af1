"""The provider and the name of a chat model."""

from __future__ import annotations

from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel

__all__ = ("origin_of",)


def origin_of(model: BaseChatModel) -> LangSmithParams:
    """Return a model's `ls_provider` and `ls_model_name`, as its calls report them to callbacks."""
    return model._get_ls_params()  # pyright: ignore[reportPrivateUsage] - no public method returns them before a call
