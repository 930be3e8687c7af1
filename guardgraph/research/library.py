"""A full-text index of documents.

It speaks to `sqlite3` directly, with bound parameters only: SQLAlchemy has no words for FTS5 tables, `MATCH` or `bm25`,
and the index is a file of its own that no migration ever touches (it can always be built again).
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from guardgraph.research.documents import Document
from guardgraph.research.passages import Passage, PassageKind, passages_of
from guardgraph.research.terms import content_words
from guardgraph.state import StorageUnavailable

__all__ = ("Library",)

_WORDS_LIMIT = 64
"""So many different words of a query are looked for; SQLite bounds the depth of an expression."""
_KINDS: tuple[PassageKind, ...] = ("prose", "table", "code")
_DROP = ("DROP TABLE IF EXISTS passages", "DROP TABLE IF EXISTS documents")
_CREATE = (
    "CREATE TABLE documents (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE passages USING fts5("
    "text, heading, heads, source UNINDEXED, first UNINDEXED, last UNINDEXED, kind UNINDEXED, "
    "tokenize='porter unicode61')",
)
_MARK = "PRAGMA application_id = 1735882604"
"""Tells an index of ours from any other SQLite database; the number is arbitrary."""
_IS_FOREIGN = """
    SELECT (SELECT count(*) FROM sqlite_master) > 0 AND (SELECT application_id FROM pragma_application_id) <> 1735882604
"""
_ADD_DOCUMENT = "INSERT INTO documents (name, text) VALUES (?, ?)"
_ADD_PASSAGE = "INSERT INTO passages (source, first, last, text, heading, kind, heads) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SEARCH = """
    SELECT source, first, last, text, heading, kind, heads FROM passages
    WHERE passages MATCH ? AND kind IN (SELECT value FROM json_each(?))
    ORDER BY bm25(passages, 1.0, 0.6, 0.6), rowid LIMIT ?
"""
_COUNT = "SELECT count(*) FROM passages"
_COUNT_HITS = "SELECT count(*) FROM passages WHERE passages MATCH ?"
_TEXT = "SELECT text FROM documents WHERE name = ?"
_NAMES = "SELECT name FROM documents ORDER BY name"


class Library:
    """Documents and a BM25 index of their passages; safe to use from many threads.

    English word forms are folded (Porter); case and accents do not count.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Connect to the index in the file `path`, or to an empty one; `build` and `open` are the ways in."""
        self._path = os.fspath(path)
        self._lock = Lock()
        try:
            self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise _unavailable(self._path, error) from error
        self._finalizer = weakref.finalize(self, self._connection.close)

    @classmethod
    def build(cls, documents: Iterable[Document], path: str | os.PathLike[str] = ":memory:") -> Library:
        """Index `documents` in memory, or in the file `path`, whose old index is replaced in one transaction.

        Of two documents with one name the last one counts. Raises `StorageUnavailable` if `path` cannot be written.
        """
        distinct = {document.name: document.text for document in documents}
        library = cls(path)
        try:
            library._refuse_foreign()
            with library._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in (_MARK, *_DROP, *_CREATE):
                    connection.execute(statement)
                connection.executemany(_ADD_DOCUMENT, distinct.items())
                for name, text in distinct.items():
                    connection.executemany(_ADD_PASSAGE, passages_of(name, text))
        except (sqlite3.Error, StorageUnavailable) as error:
            library.close()
            if isinstance(error, sqlite3.Error):
                raise _unavailable(library._path, error) from error
            raise
        return library

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Library:
        """Open the index that `build` left in the file `path`. Raises `StorageUnavailable` if there is none."""
        if not Path(path).is_file():
            raise StorageUnavailable(f"there is no index of documents in {os.fspath(path)!r}; build one first")
        library = cls(path)
        try:
            library._refuse_foreign()
            library._rows(_COUNT, ())
        except StorageUnavailable:
            library.close()
            raise
        return library

    def search(self, query: str, limit: int = 10, *, kinds: Sequence[PassageKind] = _KINDS) -> list[Passage]:
        """Return at most `limit` passages that share a word with `query`, best first; ties in order of the documents.

        `query` is plain words, never a search expression; its first 64 different words that carry meaning count.
        `kinds` narrows the search to some kinds of passages.
        """
        if limit < 1:
            raise ValueError(f"`limit` must be at least 1, got {limit!r}")
        words = list(dict.fromkeys(content_words(query)))[:_WORDS_LIMIT]
        if not words:
            return []
        match = " OR ".join(map(_quoted, words))
        return [Passage(*row) for row in self._rows(_SEARCH, (match, json.dumps(kinds), limit))]

    def weights(self, words: Iterable[str]) -> dict[str, float]:
        """Return how rare each word is: the logarithm of all passages over those with the word, at least 0."""
        total = self._rows(_COUNT, ())[0][0]
        return {word: math.log((total + 1) / (self._hits(word) + 0.5)) for word in words}

    def text_of(self, name: str) -> str | None:
        """Return the text of the document `name`, or None; give it to `Grounding` as its sources."""
        rows = self._rows(_TEXT, (name,))
        return rows[0][0] if rows else None

    @property
    def names(self) -> list[str]:
        """The names of all documents, sorted."""
        return [name for (name,) in self._rows(_NAMES, ())]

    def close(self) -> None:
        """Close the index; what was in memory is gone."""
        with self._lock:
            self._finalizer()

    def _refuse_foreign(self) -> None:
        if self._rows(_IS_FOREIGN, ())[0][0]:
            raise StorageUnavailable(f"{self._path!r} is another database, no index of documents; name another file")

    def _hits(self, word: str) -> int:
        return self._rows(_COUNT_HITS, (_quoted(word),))[0][0]

    def _rows(self, statement: str, values: tuple[str | int, ...]) -> list[Any]:
        try:
            with self._lock:
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(self._path, error) from error


def _quoted(word: str) -> str:
    """Return `word` as a string of FTS5's query language, in which nothing has a meaning of its own."""
    return '"' + word.replace('"', '""') + '"'


def _unavailable(path: str, error: sqlite3.Error) -> StorageUnavailable:
    return StorageUnavailable(f"the index of documents in {path!r} cannot be used: {error}; build it in another file")
