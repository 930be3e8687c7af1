"""How values become bytes, and bytes values."""

from __future__ import annotations
