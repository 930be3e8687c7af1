"""What an attempt of an agent runs in: its budget, its turn, its time."""

from __future__ import annotations
