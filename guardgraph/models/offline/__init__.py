"""Chat models that need no key and no network."""

from guardgraph.models.offline.extractive import ExtractiveModel
from guardgraph.models.offline.replay import RecordingModel, ReplayModel, record, request_digest
from guardgraph.models.offline.scripted import ScriptedModel, Spoken

__all__ = (
    "ExtractiveModel",
    "RecordingModel",
    "ReplayModel",
    "ScriptedModel",
    "Spoken",
    "record",
    "request_digest",
)
