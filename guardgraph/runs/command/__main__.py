"""Lets the command be run as `python -m guardgraph.runs.command`."""

from __future__ import annotations

import sys

from guardgraph.runs.command.entry import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
