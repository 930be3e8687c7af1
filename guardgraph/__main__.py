"""Lets the command be run as `python -m guardgraph`."""

from __future__ import annotations

import sys

from guardgraph.runs.command import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
