"""NumPy arrays and scalars in stored data, when NumPy is there."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Any

__all__ = ("array_of", "is_array", "parts_of")

# Type string of a plain dtype: byte order, kind without objects, size, and for times the unit.
_PLAIN = re.compile(r"[<>|=][biufcSUmMV][0-9]+(\[[0-9]*[a-zA-Z]+\])?")


def is_array(value: object) -> bool:
    """Tell whether `value` is exactly a NumPy array or a NumPy scalar; NumPy is not imported for it."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and (type(value) is numpy.ndarray or isinstance(value, numpy.generic))


def parts_of(value: Any) -> list[Any]:
    """Take an array apart: type string, shape, memory order, bytes, and whether it is a scalar.

    Raises:
        TypeError: it holds objects or has named fields, so that its bytes do not tell what it is.
    """
    scalar = type(value).__name__ != "ndarray"
    if value.dtype.names or value.dtype.hasobject or not _PLAIN.fullmatch(value.dtype.str):
        raise TypeError(f"its dtype {value.dtype} is not stored; use plain numbers, texts or times")
    order = "F" if not scalar and value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return [value.dtype.str, list(value.shape), order, value.tobytes(order), scalar]


def array_of(parts: Any) -> Any:
    """Make the array again; it owns its memory and can be written.

    Raises:
        ImportError: NumPy is not installed.
        ValueError: the parts do not describe an array.
    """
    numpy: Any = import_module("numpy")
    name, shape, order, data, scalar = parts
    if not _PLAIN.fullmatch(name) or order not in {"C", "F"}:
        raise ValueError(f"{name!r} in order {order!r} is no array that is stored")
    dtype = numpy.dtype(name)
    flat = numpy.zeros(0, dtype) if not data else numpy.frombuffer(data, dtype)
    array = flat.reshape(shape, order=order).copy(order=order)
    return array[()] if scalar else array
