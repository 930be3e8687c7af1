"""Answering questions from documents: reading, searching, extracting, citing."""

from guardgraph.research.documents import BYTE_LIMIT, Document, Documents, Skipped, read_documents
from guardgraph.research.graph import OFFLINE, research, team_of
from guardgraph.research.library import Library
from guardgraph.research.report import check_citations

__all__ = (
    "BYTE_LIMIT",
    "OFFLINE",
    "Document",
    "Documents",
    "Library",
    "Skipped",
    "check_citations",
    "read_documents",
    "research",
    "team_of",
)
