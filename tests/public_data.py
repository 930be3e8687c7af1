"""Public data sets that tests read where they are present; none of it is part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ("found_data", "public_data")

_BESIDE = Path(__file__).parents[2] / "shared" / "data"


def public_data(name: str) -> Path:
    """Return the folder of a data set, or skip the test; `GUARDGRAPH_DATA` says where all of them are."""
    folder = found_data(name)
    if folder is None:
        pytest.skip(f"no public data set {name!r}: set GUARDGRAPH_DATA to the folder that has it")
    return folder


def found_data(name: str) -> Path | None:
    """Return the folder of a data set; `None` where it is absent."""
    folder = Path(os.environ.get("GUARDGRAPH_DATA") or _BESIDE) / name
    return folder if folder.is_dir() else None
