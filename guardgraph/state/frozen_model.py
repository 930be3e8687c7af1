"""The base class of the models of the shared state."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

__all__ = ("FrozenModel", "check_json", "new_id", "to_json")


class FrozenModel(BaseModel):
    """A frozen model that refuses unknown fields; everything that crosses an agent boundary is one.

    `schema_version` grows when a stored model changes in a way that old data cannot be read as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)
    schema_version: ClassVar[int] = 1


def new_id() -> str:
    """Return a fresh random id of 32 hexadecimal characters."""
    return uuid4().hex


def check_json(data: object) -> None:
    """Raise `ValueError` for dicts, lists, texts and numbers that are no JSON: NaN, infinity, half a surrogate pair."""
    json.dumps(data, allow_nan=False, ensure_ascii=False).encode()


def to_json(value: object) -> Any:
    """Return `value` as plain JSON data (models, dataclasses, dates, decimals, sets and tuples are converted).

    Raises `ValueError` (pydantic's serialization error) for what has no JSON form, such as a function or an open file.
    """
    if value is None or type(value) in (str, int, bool):
        return value
    return to_jsonable_python(value)
