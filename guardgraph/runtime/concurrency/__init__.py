"""Who may work now, and how what hangs is left behind."""

from __future__ import annotations
