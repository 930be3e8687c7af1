"""A text classifier in a file: NumPy's `.npz`, without pickle, so that loading it runs no code."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

from guardgraph.models.classifier.features import numpy
from guardgraph.models.classifier.parameters import Parameters
from guardgraph.state import BadInput, error_text

__all__ = ("read", "write")

_FORMAT = "guardgraph text classifier"
_VERSION = 1
_ARRAYS = ("idf", "weights", "intercepts")
_LARGEST = 2 * 1024**3
"""Bytes that a file may hold once it is unpacked."""


def write(parameters: Parameters, path: str | PathLike[str]) -> None:
    """Write the parameters to a file, which is there as a whole or not at all; one of that name is replaced."""
    np, target = numpy(), Path(path)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "labels": parameters.labels,
        "vocabulary": parameters.vocabulary,
        "slope": parameters.slope,
        "offset": parameters.offset,
    }
    encoded = np.frombuffer(json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass"), dtype=np.uint8)
    arrays = {name: getattr(parameters, name) for name in _ARRAYS}
    draft = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        with draft.open("wb") as file:
            np.savez_compressed(file, header=encoded, **arrays)
        draft.replace(target)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def read(path: str | PathLike[str]) -> Parameters:
    """Return the parameters in a file. Raises `BadInput` that names what is wrong with it."""
    np, target = numpy(), Path(path)
    if not target.is_file():
        raise BadInput(f"there is no file {str(target)!r}; `TextClassifier.save` writes one")
    try:
        with zipfile.ZipFile(target) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise BadInput(f"it would take {size:,} bytes, at most {_LARGEST:,} are allowed")
        with np.load(target, allow_pickle=False) as file:
            missing = sorted({"header", *_ARRAYS} - set(file.files))
            if missing:
                raise BadInput(f"it lacks {', '.join(map(repr, missing))}")
            header = _header(file["header"])
            arrays = {name: file[name] for name in _ARRAYS}
        return Parameters(**header, **arrays)
    except BadInput as error:
        raise BadInput(f"{str(target)!r} is no classifier that can be used: {error}") from error
    except Exception as error:  # whatever a damaged archive makes NumPy raise
        what = f"{str(target)!r} is no classifier of `TextClassifier.save`: {error_text(error)}"
        raise BadInput(what) from error


def _header(array: Any) -> dict[str, Any]:
    """Return the fields that are no arrays. Raises `BadInput` for those of another type."""
    header = json.loads(array.tobytes().decode("utf-8", "surrogatepass"))
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise BadInput(f"its header does not name the format {_FORMAT!r}")
    if header.get("version") != _VERSION:
        raise BadInput(f"it has version {header.get('version')!r} of the format, this release reads {_VERSION}")
    for name in ("labels", "vocabulary"):
        names = header.get(name)
        if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
            raise BadInput(f"`{name}` is no list of texts")
    for name in ("slope", "offset"):
        if isinstance(header.get(name), bool) or not isinstance(header.get(name), int | float):
            raise BadInput(f"`{name}` is no number")
    return {
        "labels": tuple(header["labels"]),
        "vocabulary": tuple(header["vocabulary"]),
        "slope": float(header["slope"]),
        "offset": float(header["offset"]),
    }
