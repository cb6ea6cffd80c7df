"""The model format as a JSON Schema, for editors that complete and check TOML as it is typed.

It covers the shape of a file. What only the reader can know (names that fit, rows that cover,
columns that sum to one) it leaves to `attach-ai check`.

    python -m attach_ai.model.schema    writes models/schema.json
"""

from __future__ import annotations

import json
from typing import Any

from attach_ai.model.document import FORMAT
from attach_ai.model.forms import COMBINE
from attach_ai.model.library import root
from attach_ai.model.parameters import PRIORS

_NAME = "^[A-Za-z][A-Za-z0-9_]*$"


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a generative model's file."""
    text, number = {"type": "string"}, {"type": "number"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A declared generative model",
        "$defs": {
            "cell": {
                "description": "a number, a parameter, or arithmetic: + - * / ( ) and exp",
                "type": ["number", "string"],
            },
            "levels": {
                "type": "array",
                "items": {"type": "string", "pattern": _NAME},
                "minItems": 2,
                "uniqueItems": True,
            },
            "when": {
                "description": "parent = level, or a list meaning any of these",
                "type": "object",
                "additionalProperties": {"anyOf": [text, {"type": "array", "items": text}]},
            },
            "cells": _named({"$ref": "#/$defs/cell"}, 'level = cell; "rest" is 1 - the others'),
            "rows": _rows("then", {"$ref": "#/$defs/cells"}),
            "probabilities": _rows("p", {"$ref": "#/$defs/cell"}),
            "axis": _axis({}),
        },
        **_object(
            required={
                "format": {"const": FORMAT},
                "name": {"type": "string", "pattern": _NAME},
                "factors": _named({"$ref": "#/$defs/axis"}, "what is hidden"),
                "modalities": _named(
                    _axis({"inner": {"type": "boolean"}}), "what is felt and seen"
                ),
                "actions": _named(_axis({"sets": text}), "what is chosen"),
                "A": _named(_one_of("rows", "copies", "noisy_or"), "outcomes given states now"),
                "B": _named(_one_of("rows", "keeps", "set_by"), "states given states one step ago"),
                "D": _named({"$ref": "#/$defs/cells"}, "states at the start"),
                "E": _named({"$ref": "#/$defs/cells"}, "habit"),
            },
            optional={
                "meaning": text,
                "source": text,
                "parameters": _named(_parameter(number, text), "names that cells may use"),
                "C": _named({"$ref": "#/$defs/cells"}, "preference, in nats"),
                "counts": _named({"$ref": "#/$defs/cell"}, '"D.agents" = prior observations'),
            },
        ),
    }


def written() -> str:
    """The schema as the text of `models/schema.json`."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(required: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def _named(entry: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "type": "object", "additionalProperties": entry}


def _axis(more: dict[str, Any]) -> dict[str, Any]:
    meaning = {"type": "string"}
    return _object({"levels": {"$ref": "#/$defs/levels"}}, {"meaning": meaning, **more})


def _rows(then: str, entry: dict[str, Any]) -> dict[str, Any]:
    row = _object({then: entry}, {"when": {"$ref": "#/$defs/when"}})
    return {"type": "array", "items": row, "minItems": 1}


def _parameter(number: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    ends = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    prior = {"type": "string", "pattern": f"^ *({'|'.join(PRIORS)}) *\\(.*\\) *$"}
    return _object({"default": number, "support": ends, "meaning": text}, {"prior": prior})


def _one_of(*forms: str) -> dict[str, Any]:
    """Exactly one of these ways to declare a table."""
    noisy_or = _object(
        required={"outcome": {"type": "string"}, "leak": {"$ref": "#/$defs/probabilities"}},
        optional={
            "causes": _named({"$ref": "#/$defs/probabilities"}, "silent where no row matches"),
            "combine": {"enum": list(COMBINE), "description": "how causes add up"},
            "otherwise": _object({"rows": {"$ref": "#/$defs/rows"}}, {}),
        },
    )
    entries = {
        "rows": {"$ref": "#/$defs/rows"},
        "noisy_or": noisy_or,
        "copies": {"type": "string", "description": "the factor that the outcome shows exactly"},
        "keeps": {"$ref": "#/$defs/cell", "description": "each level stays with this probability"},
        "set_by": {"type": "string", "description": "the action that sets the factor outright"},
    }
    return {"oneOf": [_object({form: entries[form]}, {}) for form in forms]}


if __name__ == "__main__":
    (root() / "schema.json").write_text(written())
