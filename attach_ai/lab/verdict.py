"""What an experiment found, beside what it had predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("BUILT-IN", "CONDITIONAL", "EMERGENT")
ROBUST, CONDITIONAL = 0.8, 0.2


def label(share: float) -> str:
    """Name a share of draws in which a sign holds (MODEL.md "Keys, sizes, budgets").

    At least .8 is *robust*, .2 to .8 *conditional*, below *refuted*.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}")
    if share >= ROBUST:
        return "robust"
    return "conditional" if share >= CONDITIONAL else "refuted"


@dataclass(frozen=True)
class Finding:
    """One statement of a prediction and whether it held.

    `measured` names the figures behind it. `share` is the share of draws in which it holds (None
    if it was not swept), `perception` the inference it was run under (None: both or neither).
    `kind` says what a pass is worth: BUILT-IN follows from a line of the model, CONDITIONAL holds
    in part of parameter space, EMERGENT could have been refuted. `claim` is the number of the claim
    it speaks to (None: all of the experiment's). A finding that does not `decide` is reported
    beside the verdict and does not enter it.
    """

    name: str
    statement: str
    passed: bool
    measured: Mapping[str, float | str] = field(default_factory=dict)
    share: float | None = None
    perception: str | None = None
    kind: str = "EMERGENT"
    claim: int | None = None
    decides: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is '{self.kind}'; expected one of {', '.join(KINDS)}")
        # Experiments compute with arrays; what is kept is plain.
        object.__setattr__(self, "passed", bool(self.passed))
        object.__setattr__(self, "measured", {k: _plain(v) for k, v in self.measured.items()})
        if self.share is not None:
            object.__setattr__(self, "share", float(self.share))

    @property
    def label(self) -> str | None:
        """robust, conditional or refuted; None if it was not swept."""
        return None if self.share is None else label(self.share)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; a figure that is not finite becomes None."""
        return {
            "name": self.name,
            "statement": self.statement,
            "passed": self.passed,
            "measured": {k: _finite(v) for k, v in self.measured.items()},
            "share": self.share,
            "label": self.label,
            "perception": self.perception,
            "kind": self.kind,
            "claim": self.claim,
            "decides": self.decides,
        }


@dataclass(frozen=True)
class Verdict:
    """What was predicted, what would refute it, and what came out."""

    experiment: str
    prediction: str
    refutation: str
    outcomes: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every finding that decides passed."""
        return all(f.passed for f in self.outcomes if f.decides)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "experiment": self.experiment,
            "prediction": self.prediction,
            "refutation": self.refutation,
            "passed": self.passed,
            "outcomes": [f.as_dict() for f in self.outcomes],
        }


def render(verdict: Mapping[str, Any]) -> str:
    """A verdict (`Verdict.as_dict`) as lines to read."""
    lines = [f"{verdict['experiment']}: {_word(verdict['passed'])}", f"  {verdict['prediction']}"]
    for f in verdict["outcomes"]:
        under = f" [{f['perception']}]" if f["perception"] else ""
        beside = "" if f["decides"] else ", reported beside"
        swept = "" if f["share"] is None else f", {f['label']} ({f['share']:.0%} of draws)"
        figures = ", ".join(f"{k} {_short(v)}" for k, v in f["measured"].items())
        lines.append(f"  {_word(f['passed'])}{under} {f['statement']} ({f['kind']}{swept}{beside})")
        if figures:
            lines.append(f"       {figures}")
    return "\n".join(lines)


def _word(passed: bool) -> str:
    return "pass" if passed else "FAIL"


def _plain(value: Any) -> float | str:
    return value if isinstance(value, str) else float(value)


def _finite(value: float | str) -> float | str | None:
    return value if isinstance(value, str) or math.isfinite(value) else None


def _short(value: float | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
