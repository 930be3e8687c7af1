"""Chat models that need no key and no network."""

from __future__ import annotations

from guardgraph.models.offline.extractive import ExtractiveModel
from guardgraph.models.offline.replay import RecordingModel, ReplayModel, digest_of, record
from guardgraph.models.offline.scripted import ScriptedModel, Spoken

__all__ = (
    "ExtractiveModel",
    "RecordingModel",
    "ReplayModel",
    "ScriptedModel",
    "Spoken",
    "digest_of",
    "record",
)
