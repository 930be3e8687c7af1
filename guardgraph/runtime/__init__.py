"""What an attempt of an agent runs in: its budget, its slots, its time limits."""

from __future__ import annotations
