"""Lets the command be run as `python -m guardgraph.cli`."""

from __future__ import annotations

import sys

from guardgraph.cli.entry import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
