"""A JSON schema, filled from the sentences of a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from guardgraph.models.offline.prompt_parser import ParsedPrompt
from guardgraph.text.parts import parts_of

__all__ = ("fill_schema",)

_REASONS = frozenset({"reasoning", "reason", "rationale", "explanation"})
_QUESTIONS = frozenset({"title", "question", "query", "goal"})
_ANSWERS = frozenset({"value", "answer", "text", "summary", "content"})
_METHOD = "Extracted by word overlap with the goal; no language model was called."
_Schema = Mapping[str, Any]


def fill_schema(schema: _Schema, prompt: ParsedPrompt) -> dict[str, Any]:
    """Return an object that fits `schema`, filled from `prompt`; the same input gives the same output.

    Texts get the best sentences, lists of texts one sentence each, objects with `source` and `quote` verbatim quotes, a
    list of objects with a `goal` one part of the question each (none once there are results). Numbers and booleans
    get their default, their minimum, or zero. What the schema does not require and extraction cannot know is left out.
    """
    return _Filler(schema.get("$defs") or schema.get("definitions") or {}).object(schema, prompt, is_top=True)


class _Filler(NamedTuple):
    definitions: _Schema

    def object(self, schema: _Schema, prompt: ParsedPrompt, *, is_top: bool = False) -> dict[str, Any]:
        properties: _Schema = schema.get("properties") or {}
        if _is_evidence(schema) and prompt.quotes:
            quote = prompt.quotes[0]
            known = {"source": quote.source or "prompt", "quote": quote.text, "locator": quote.locator}
            return {name: known[name] for name in properties if name in known}
        filled = set(schema.get("required") or ())
        if is_top:
            filled |= {name for name in properties if self._can_fill(name, properties)}
        return {name: self._value(properties[name], prompt, name) for name in properties if name in filled}

    def _value(self, schema: _Schema, prompt: ParsedPrompt, name: str) -> Any:
        schema = self._resolved(schema)
        if "const" in schema or schema.get("enum"):
            return schema.get("default", schema.get("const", (schema.get("enum") or [None])[0]))
        match schema.get("type"):
            case "array":
                return self._list(schema, prompt)
            case "object":
                return self.object(schema, prompt)
            case "integer" | "number" | "boolean" | "null" as kind:
                default = schema.get("default")
                return {"boolean": False, "null": None}.get(kind, _number(schema)) if default is None else default
            case _:
                text = _METHOD if name in _REASONS else prompt.goal if name in _QUESTIONS else prompt.text
                return text[: schema.get("maxLength", len(text))]

    def _list(self, schema: _Schema, prompt: ParsedPrompt) -> list[Any]:
        item = self._resolved(schema.get("items") or {})
        if _is_subtask(item):
            parts = [] if prompt.has_results else parts_of(prompt.goal) or [prompt.goal]
            named = [{"goal": part, "id": f"part-{number}"} for number, part in enumerate(parts, start=1)]
            return [
                self.object(item, prompt._replace(goal=one["goal"], quotes=()))
                | {name: text for name, text in one.items() if name in item["properties"]}
                for one in named[: schema.get("maxItems")]
            ]
        limit = min(schema.get("maxItems", prompt.limit), max(prompt.limit, schema.get("minItems", 0)))
        usable = [quote for quote in prompt.quotes if quote.source or not _is_evidence(item)][:limit]
        return [self._value(item, prompt._replace(quotes=(quote,)), "") for quote in usable]

    def _can_fill(self, name: str, properties: _Schema) -> bool:
        """Return whether an optional property is filled: texts, and lists of anything but what goes with evidence."""
        schema = self._resolved(properties[name])
        if schema.get("type") != "array":
            is_text = schema.get("type", "string") == "string"
            return is_text and (name in _ANSWERS | _REASONS or "default" not in properties[name])
        items = [self._resolved(self._resolved(one).get("items") or {}) for one in properties.values()]
        return not (_is_subtask(self._resolved(schema.get("items") or {})) and any(map(_is_evidence, items)))

    def _resolved(self, schema: _Schema) -> _Schema:
        """Follow references and take the first choice that is not null."""
        if "$ref" in schema:
            return self._resolved(self.definitions.get(str(schema["$ref"]).rpartition("/")[2], {}))
        choices = [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key) or ()]
        chosen = next((one for one in choices if one.get("type") != "null"), None)
        return schema if chosen is None else self._resolved(chosen)


def _is_evidence(schema: _Schema) -> bool:
    return {"source", "quote"} <= set(schema.get("properties") or ())


def _is_subtask(schema: _Schema) -> bool:
    return "goal" in (schema.get("properties") or ())


def _number(schema: _Schema) -> int | float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 2))
    if "exclusiveMinimum" not in schema:
        return min(least, most)
    return int(least) + 1 if schema.get("type") == "integer" else (least + most) / 2
