"""The ledger of runs in a SQL database."""

from __future__ import annotations
