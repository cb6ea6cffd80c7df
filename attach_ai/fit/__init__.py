"""Data: records, what links beliefs to answers, sampling, and whether to believe the result.

The room and its first verb have one name: `attach_ai.fit(model, agent, records, ...)` fits.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """A module that can be called."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        # By name, as the package's face does: no result rests on a verb that nobody called.
        return import_module("attach_ai.fit.fitting").fit(*given, **named)


sys.modules[__name__].__class__ = _Room
