"""The base class of the models of the shared state."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from operator import is_
from typing import Any, ClassVar, TypeVar, cast
from uuid import uuid4

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

__all__ = ("FrozenModel", "check_json", "new_id", "to_json", "unshared_copy")

_T = TypeVar("_T")
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
_UNCHANGEABLE = frozenset[type]({str, int, float, bool, type(None), Decimal, datetime, bytes, frozenset})


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
    _ENCODER.encode(data).encode()


def to_json(value: object) -> Any:
    """Return `value` as plain JSON data (models, dataclasses, dates, decimals, sets and tuples are converted).

    Raises `ValueError` (pydantic's serialization error) for what has no JSON form, such as a function or an open file.
    """
    if value is None or type(value) in (str, int, bool):
        return value
    return to_jsonable_python(value)


def unshared_copy(value: _T) -> _T:
    """Return a copy that shares nothing with `value` that can be changed: no dict and no list.

    A frozen model without any of these is the copy of itself.
    """
    return cast("_T", _unshared(value))


def _unshared(value: Any) -> Any:
    kind = type(value)
    if kind in _UNCHANGEABLE:
        return value
    if kind is dict:
        return {key: _unshared(one) for key, one in value.items()}
    if kind is list:
        return [_unshared(one) for one in value]
    if kind is tuple:
        parts = tuple([_unshared(one) for one in value])
        return value if all(map(is_, parts, value)) else parts
    if not isinstance(value, FrozenModel):
        return deepcopy(value)
    changed = {name: new for name, one in vars(value).items() if (new := _unshared(one)) is not one}
    if not changed:
        return value
    copied = value.model_copy()
    vars(copied).update(changed)  # `update=` would count the fields as set
    return copied
