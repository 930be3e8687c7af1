"""Answering questions from documents: reading, searching, extracting, citing."""

from __future__ import annotations

from guardgraph.research.citation import citation_of, first_line, source_line
from guardgraph.research.compose import MADE_BY, Composed, compose
from guardgraph.research.documents import BYTE_LIMIT, Document, Documents, Skipped, plain_path, read_documents
from guardgraph.research.extract import Claim, claims_of, question_weights
from guardgraph.research.graph import OFFLINE, research, team_of
from guardgraph.research.library import Library
from guardgraph.research.model_team import make_model_worker, make_model_writer
from guardgraph.research.offline import make_worker, plan, write
from guardgraph.research.passages import Passage, PassageKind, passages_of
from guardgraph.research.report import check_citations

__all__ = (
    "BYTE_LIMIT",
    "MADE_BY",
    "OFFLINE",
    "Claim",
    "Composed",
    "Document",
    "Documents",
    "Library",
    "Passage",
    "PassageKind",
    "Skipped",
    "check_citations",
    "citation_of",
    "claims_of",
    "compose",
    "first_line",
    "make_model_worker",
    "make_model_writer",
    "make_worker",
    "passages_of",
    "plain_path",
    "plan",
    "question_weights",
    "read_documents",
    "research",
    "source_line",
    "team_of",
    "write",
)
