"""What an attempt may spend, and what it has spent."""

from __future__ import annotations
