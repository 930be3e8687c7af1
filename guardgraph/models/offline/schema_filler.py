"""A JSON schema, filled from the sentences of a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guardgraph.models.offline.prompt_parser import Matter, parts_of

__all__ = ("fill",)

_REASONS = frozenset({"reasoning", "reason", "rationale", "explanation"})
_ANSWERS = frozenset({"value", "answer", "text", "summary", "content"})
_HOW = "Extracted by word overlap with the goal; no language model was asked."
_Schema = Mapping[str, Any]


def fill(schema: _Schema, matter: Matter) -> dict[str, Any]:
    """Return an object that fits `schema`, filled from `matter`; the same input gives the same output.

    Texts get the best sentences, lists of texts one sentence each, objects with `source` and `quote` verbatim quotes, a
    list of objects with a `goal` one part of the question each (none once there are results). Numbers and booleans
    get their default, their minimum, or zero. What the schema does not require and extraction cannot know is left out.
    """
    return _Filler(schema).members(schema, matter, is_top=True)


class _Filler:
    def __init__(self, root: _Schema) -> None:
        self._definitions: _Schema = root.get("$defs") or root.get("definitions") or {}

    def members(self, schema: _Schema, matter: Matter, *, is_top: bool = False) -> dict[str, Any]:
        properties: _Schema = schema.get("properties") or {}
        required = schema.get("required") or ()
        if _is_evidence(schema) and matter.best:
            sentence = matter.best[0]
            known = {"source": sentence.source or "prompt", "quote": sentence.text, "locator": sentence.locator}
            return {name: known[name] for name in properties if name in known}
        wanted = [name for name in properties if name in required or (is_top and self._is_worth(name, schema))]
        return {name: self.value(properties[name], matter, name=name) for name in wanted}

    def value(self, schema: _Schema, matter: Matter, *, name: str = "") -> Any:
        schema = self._plain(schema)
        if "const" in schema or schema.get("enum"):
            return schema.get("default", schema.get("const", (schema.get("enum") or [None])[0]))
        match schema.get("type"):
            case "array":
                return self._items(schema, matter)
            case "object":
                return self.members(schema, matter)
            case "integer" | "number" | "boolean" | "null" as kind:
                return _scalar(schema, kind)
            case _:
                return _text(schema, matter, name)

    def _items(self, schema: _Schema, matter: Matter) -> list[Any]:
        item = self._item(schema)
        most = min(schema.get("maxItems", matter.most), max(matter.most, schema.get("minItems", 0)))
        if _is_subtask(item):
            parts = [] if matter.has_results else parts_of(matter.goal)
            kept = parts[: schema.get("maxItems", len(parts))]
            return [
                self.members(item, replace(matter, goal=part, sentences=())) | _named(item, number, goal=part)
                for number, part in enumerate(kept, start=1)
            ]
        known = [sentence for sentence in matter.sentences if sentence.source or not _is_evidence(item)]
        return [
            self.value(item, replace(matter, sentences=(sentence,)), name=str(number))
            for number, sentence in enumerate(known[:most], start=1)
        ]

    def _is_worth(self, name: str, schema: _Schema) -> bool:
        properties: _Schema = schema["properties"]
        plain = self._plain(properties[name])
        if plain.get("type") == "array":
            brings_evidence = any(_is_evidence(self._item(one)) for one in properties.values())
            return not (_is_subtask(self._item(plain)) and brings_evidence)
        is_text = plain.get("type", "string") == "string"
        return is_text and (name in _ANSWERS | _REASONS or "default" not in properties[name])

    def _item(self, schema: _Schema) -> _Schema:
        return self._plain(self._plain(schema).get("items") or {})

    def _plain(self, schema: _Schema) -> _Schema:
        """Follow references and take the first choice that is not null."""
        while True:
            if "$ref" in schema:
                schema = self._definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
                continue
            choices = [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key) or ()]
            chosen = next((one for one in choices if one.get("type") != "null"), None)
            if chosen is None:
                return schema
            schema = chosen


def _is_evidence(schema: _Schema) -> bool:
    return {"source", "quote"} <= set(schema.get("properties") or ())


def _is_subtask(schema: _Schema) -> bool:
    return "goal" in (schema.get("properties") or ())


def _named(item: _Schema, number: int, *, goal: str) -> dict[str, str]:
    return {"goal": goal, "id": f"part-{number}"} if "id" in item["properties"] else {"goal": goal}


def _scalar(schema: _Schema, kind: str) -> Any:
    if kind == "null" or schema.get("default") is not None:
        return schema.get("default")
    if kind == "boolean":
        return False
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if most is not None and "exclusiveMinimum" in schema and kind == "number":
        return (least + most) / 2
    if kind == "integer" and "exclusiveMinimum" in schema:
        return int(least) + 1
    return min(least, most) if most is not None else least


def _text(schema: _Schema, matter: Matter, name: str) -> str:
    text = _HOW if name in _REASONS else matter.goal if name in ("title", "question", "query", "goal") else matter.text
    return text[: schema.get("maxLength", len(text))]
