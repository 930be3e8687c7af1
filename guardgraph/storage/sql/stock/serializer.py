"""Reading the values of LangGraph's own savers: only classes that the target may store are made, none is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

import ormsgpack
from langchain_core.load.load import Reviver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.kinds import array_from_parts
from guardgraph.storage.sql.codec.tags import DELTA_SNAPSHOT

__all__ = ("StockSerializer",)

_SINGLE, _POSITIONAL, _NAMED, _METHOD, _PYDANTIC_1, _PYDANTIC_2, _ARRAY, _DELTA = range(8)
"""The extensions of `JsonPlusSerializer`."""
_STANDARD = {
    "builtins": ("frozenset", "set"),
    "collections": ("deque",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "ipaddress": ("IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"),
    "pathlib": ("Path", "PosixPath", "WindowsPath"),
    "uuid": ("UUID",),
    "zoneinfo": ("ZoneInfo",),
}
"""Python's own classes that `JsonPlusSerializer` writes, and a codec stores."""


class StockSerializer(JsonPlusSerializer):
    """Reads what `JsonPlusSerializer` has written, as far as a codec stores it.

    Anything else becomes an object that no codec stores, of a class with the name of the one that was written: so the
    codec refuses it, with the path to it. `reasons` explains those whose class is known.
    """

    def __init__(self, codec: Codec) -> None:
        """Allow the classes that `codec` stores."""
        super().__init__(allowed_msgpack_modules=None, __unpack_ext_hook__=self._extension)
        named = [(module, name) for module, names in _STANDARD.items() for name in names]
        standard = {(module, name): getattr(import_module(module), name) for module, name in named}
        local_paths = {("pathlib._local", name): standard["pathlib", name] for name in _STANDARD["pathlib"]}  # of 3.13
        stored = {(kind.__module__, kind.__name__): kind for kind in codec.stored_types()}
        self._classes: Mapping[tuple[str, str], Any] = {**stored, **standard, **local_paths}
        self._core = Reviver(allowed_objects="core")
        self.reasons: list[str] = []

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value, with objects that cannot be stored in the places of what is not allowed."""
        kind, packed = data
        if kind == "json":
            return json.loads(packed, object_hook=self._revived)
        if kind in ("null", "bytes", "bytearray", "msgpack"):
            return super().loads_typed(data)
        return self._unreadable("stored by", kind, f"it was written as {kind!r}, which is not read")

    def _extension(self, code: int, data: bytes) -> Any:
        try:
            parts = ormsgpack.unpackb(data, ext_hook=self._extension, option=ormsgpack.OPT_NON_STR_KEYS)
            if code == _DELTA:
                return DELTA_SNAPSHOT(parts)
            return array_from_parts([*parts, False]) if code == _ARRAY else self._made(code, *parts)
        except Exception as error:  # ormsgpack hides what its hook raises
            return self._unreadable("msgpack", f"extension {code}", f"{type(error).__name__}: {error}")

    def _made(self, code: int, module: str, name: str, argument: Any, method: str = "") -> Any:
        """Return an object of a class, by what was written of it."""
        kind = self._classes.get((module, name))
        if kind is None:
            return self._unreadable(module, name)
        try:
            if code == _METHOD:
                return datetime.fromisoformat(argument) if kind is datetime else self._unreadable(module, name)
            if code == _SINGLE:
                return kind(argument)
            if code in (_PYDANTIC_1, _PYDANTIC_2):
                return kind.model_validate(argument, by_alias=False, by_name=True)
            if code == _POSITIONAL:
                return Send(*argument[:2], timeout=[*argument, None][2]) if kind is Send else kind(*argument)
            return kind(**argument)
        except Exception as error:  # whatever a class makes of what does not fit it any more
            return self._unreadable(module, name, f"{module}.{name} does not fit its class any more: {error}")

    def _revived(self, value: dict[str, Any]) -> Any:
        """Return an object of what early versions of LangGraph wrote as JSON."""
        if value.get("type") != "constructor" or value.get("lc") not in (1, 2):
            return value
        *module, name = value["id"]
        try:
            if value["lc"] == 1:  # of LangChain's core alone
                return self._core(value)
            kind = self._classes.get((".".join(module), name))
            if kind is not None:
                return kind(*(value.get("args") or ()), **(value.get("kwargs") or {}))
        except Exception as error:
            return self._unreadable(".".join(module), name, f"{name} does not fit its class any more: {error}")
        return self._unreadable(".".join(module), name)

    def _unreadable(self, module: str, name: str, reason: str = "") -> Any:
        """Return an object that no codec stores.

        Its class is a dataclass where it might be registered, so that the message of the codec names it.
        """
        if reason:
            self.reasons.append(reason)
        kind = type(name, (), {"__module__": module, "__qualname__": name})
        return (kind if reason else dataclass(eq=False)(kind))()
