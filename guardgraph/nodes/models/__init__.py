"""Models that need no key, and how a model is found by its name."""

from __future__ import annotations

from guardgraph.nodes.models.extractive import ExtractiveModel
from guardgraph.nodes.models.origin import origin_of
from guardgraph.nodes.models.replay import RecordingModel, ReplayModel, digest_of, record
from guardgraph.nodes.models.resolve import model_of
from guardgraph.nodes.models.scripted import ScriptedModel, Spoken

__all__ = (
    "ExtractiveModel",
    "RecordingModel",
    "ReplayModel",
    "ScriptedModel",
    "Spoken",
    "digest_of",
    "model_of",
    "origin_of",
    "record",
)
