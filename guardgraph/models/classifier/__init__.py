"""A text classifier for routing: TF-IDF and a linear model, trained from examples (extra `routing`)."""

from __future__ import annotations

from guardgraph.models.classifier.text_classifier import TextClassifier

__all__ = ("TextClassifier",)
