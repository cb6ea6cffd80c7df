"""What is declared: cells, tables, models, practices, settings, and histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attach_ai.model.check import Check, Information, register_information
from attach_ai.model.expression import Expression
from attach_ai.model.history import History, Stage
from attach_ai.model.layout import Action, Factor, Layout, Modality
from attach_ai.model.library import (
    load_history,
    load_model,
    load_phenotype,
    load_practice,
    load_world,
    names,
)
from attach_ai.model.model import Model
from attach_ai.model.parameters import Parameter
from attach_ai.model.practice import OperatorSpec, Phase, Practice, Schedule
from attach_ai.model.settings import Settings
from attach_ai.model.show import show

if TYPE_CHECKING:
    from attach_ai.model.pomdp import POMDP

__all__ = [
    "POMDP",
    "Action",
    "Check",
    "Expression",
    "Factor",
    "History",
    "Information",
    "Layout",
    "Modality",
    "Model",
    "OperatorSpec",
    "Parameter",
    "Phase",
    "Practice",
    "Schedule",
    "Settings",
    "Stage",
    "load_history",
    "load_model",
    "load_phenotype",
    "load_practice",
    "load_world",
    "names",
    "register_information",
    "show",
]


def __getattr__(name: str) -> Any:
    if name == "POMDP":  # brings JAX with it
        from attach_ai.model.pomdp import POMDP

        return POMDP
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
