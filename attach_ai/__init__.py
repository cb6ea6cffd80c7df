"""Active inference models of attachment: declared as tables, simulated, confronted with claims.

Names load when first used, so that `import attach_ai` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "InputError": "attach_ai.errors",
    "load_instrument": "attach_ai.model.instrument",
    "load_link": "attach_ai.model.link",
    "load_mapping": "attach_ai.model.mapping",
    "load_history": "attach_ai.model",
    "load_model": "attach_ai.model",
    "load_phenotype": "attach_ai.model",
    "load_practice": "attach_ai.model",
    "load_world": "attach_ai.model",
    "Affect": "attach_ai.agent",
    "Agent": "attach_ai.agent",
    "Clamp": "attach_ai.agent",
    "Condition": "attach_ai.agent",
    "Dirichlet": "attach_ai.agent",
    "Exact": "attach_ai.agent",
    "Expand": "attach_ai.agent",
    "ExpectedFreeEnergy": "attach_ai.agent",
    "Field": "attach_ai.agent",
    "Habit": "attach_ai.agent",
    "LatentCauses": "attach_ai.agent",
    "MeanField": "attach_ai.agent",
    "Precision": "attach_ai.agent",
    "PriorChange": "attach_ai.agent",
    "expand": "attach_ai.agent",
    "prune": "attach_ai.agent",
    "reduce": "attach_ai.agent",
    "Inner": "attach_ai.world",
    "World": "attach_ai.world",
    "Trajectory": "attach_ai.simulation",
    "develop": "attach_ai.simulation",
    "formative_learning": "attach_ai.simulation",
    "log_likelihood": "attach_ai.simulation",
    "simulate": "attach_ai.simulation",
    "build_study": "attach_ai.fit.study.build",
    "calibrate": "attach_ai.fit.checks.calibration",
    "compare": "attach_ai.fit.comparison.contest",
    "design": "attach_ai.fit.checks.design",
    "diagnostics": "attach_ai.fit.sampling.diagnostics",
    "identification": "attach_ai.fit.checks.identification",
    "read_records": "attach_ai.fit.records.records",
    "recover": "attach_ai.fit.checks.recovery",
    "score": "attach_ai.fit.records.score",
    "report": "attach_ai.lab.fit_report",
}
_ROOMS = ("agent", "fit", "lab", "model", "plot", "simulation", "world")

__all__ = ["__version__", "plot", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"attach_ai.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'attach_ai' has no attribute '{name}'")
    if name == "load_model":
        # Model.check() asks what data could identify; the simulation room registers the answer.
        import_module("attach_ai.simulation.information")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_ROOMS})
