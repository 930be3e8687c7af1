"""How many tokens a prompt takes, approximately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

__all__ = ("prompt_tokens",)

_BYTES = {"file": 25, "audio": 500, "video": 500}
"""Bytes of a file for each token. A page of a PDF has about 75 kB and takes 1,500 to 3,000 tokens as text and picture;
a second of speech or film takes 10 to 300, in 5 to 250 kB. Images are counted by LangChain."""


def prompt_tokens(messages: Sequence[BaseMessage]) -> int:
    """Return the tokens of a prompt as LangChain counts them, without taking base64 of a file for text.

    It is an assumption for the first call: what a model reports corrects the following ones.
    """
    blocks = [block for message in messages if isinstance(message.content, list) for block in message.content]
    files = [block for block in blocks if isinstance(block, Mapping) and _size(block)]
    if not files:
        return count_tokens_approximately(messages)
    plain = [message.model_copy(update={"content": _without(message.content)}) for message in messages]
    return count_tokens_approximately(plain) + sum(_size(block) // _BYTES[block["type"]] + 1 for block in files)


def _size(block: Mapping[str, Any]) -> int:
    """Return the bytes of a file in a content block; zero for other blocks."""
    return len(str(block.get("base64") or "")) * 3 // 4 if block.get("type") in _BYTES else 0


def _without(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [block for block in content if not (isinstance(block, Mapping) and _size(block))]
