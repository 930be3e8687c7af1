"""Public data that is not part of the project: in `GUARDGRAPH_DATA`, or in `shared/data` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from bench.measuring.peers import Missing

__all__ = ("public_data",)


def public_data(name: str) -> Path:
    """Return the folder of a data set. Raises `Missing` where it is not there."""
    given = os.environ.get("GUARDGRAPH_DATA")
    root = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not (root / name).is_dir():
        raise Missing(f"there is no data set {name!r} in {root}; GUARDGRAPH_DATA names the folder that holds it")
    return root / name
