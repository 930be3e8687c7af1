"""A full-text index of documents.

It uses `sqlite3` directly, with bound parameters only: SQLAlchemy has no constructs for FTS5 tables, `MATCH` or `bm25`,
and the index is a database of its own in memory, which no migration touches.
"""

from __future__ import annotations

import json
import math
import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any

from guardgraph.research.documents import Document
from guardgraph.text.passages import Passage, PassageKind, passages_of
from guardgraph.text.terms import content_words

__all__ = ("Library",)

_MAX_WORDS = 64
"""A search uses so many different words of a query; SQLite bounds the depth of an expression."""
_KINDS: tuple[PassageKind, ...] = ("prose", "table", "code")
_CREATE = """
    CREATE VIRTUAL TABLE passages USING fts5(
    text, heading, heads, source UNINDEXED, first UNINDEXED, last UNINDEXED, kind UNINDEXED,
    tokenize='porter unicode61')
"""
_ADD_PASSAGE = "INSERT INTO passages (source, first, last, text, heading, kind, heads) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SEARCH = """
    SELECT source, first, last, text, heading, kind, heads FROM passages
    WHERE passages MATCH ? AND kind IN (SELECT value FROM json_each(?))
    ORDER BY bm25(passages, 1.0, 0.6, 0.6), rowid LIMIT ?
"""
_COUNT = "SELECT count(*) FROM passages"
_COUNT_HITS = "SELECT count(*) FROM passages WHERE passages MATCH ?"


class Library:
    """Documents and a BM25 index of their passages, in memory; safe to use from many threads.

    English word forms are folded (Porter); case and accents do not count.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        """Index `documents`; of two with one name the last one counts."""
        self._texts = {document.name: document.text for document in documents}
        self._lock = Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        self._connection.execute(_CREATE)
        for name, text in self._texts.items():
            self._connection.executemany(_ADD_PASSAGE, passages_of(name, text))

    def search(self, query: str, limit: int = 10, *, kinds: Sequence[PassageKind] = _KINDS) -> list[Passage]:
        """Return at most `limit` passages that share a word with `query`, best first; ties in order of the documents.

        `query` is plain words, never a search expression; its first 64 different words that carry meaning are used.
        `kinds` narrows the search to some kinds of passages.
        """
        if limit < 1:
            raise ValueError(f"`limit` must be at least 1, got {limit!r}")
        words = list(dict.fromkeys(content_words(query)))[:_MAX_WORDS]
        if not words:
            return []
        match = " OR ".join(map(_quoted, words))
        return [Passage(*row) for row in self._rows(_SEARCH, (match, json.dumps(kinds), limit))]

    def weights(self, words: Iterable[str]) -> dict[str, float]:
        """Return how rare each word is: the logarithm of all passages over those with the word, at least 0."""
        total = self._rows(_COUNT)[0][0]
        hits = {word: self._rows(_COUNT_HITS, (_quoted(word),))[0][0] for word in words}
        return {word: math.log((total + 1) / (count + 0.5)) for word, count in hits.items()}

    def text_of(self, name: str) -> str | None:
        """Return the text of the document `name`, or None; give it to `Grounding` as its sources."""
        return self._texts.get(name)

    def _rows(self, statement: str, values: tuple[str | int, ...] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()


def _quoted(word: str) -> str:
    """Return `word` as a string of FTS5's query language, without operators."""
    return '"' + word.replace('"', '""') + '"'
