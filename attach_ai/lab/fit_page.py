"""What the report of a fit is made from, and what it says at its top."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from attach_ai.fit.sampling.diagnostics import Check, diagnostics
from attach_ai.lab import fit_words as words
from attach_ai.plot import fit_frames as frames
from attach_ai.plot.fit_persons import TRUSTED, trust
from attach_ai.plot.style import LEVEL

if TYPE_CHECKING:
    import xarray as xr


class Page:
    """The parts of the page, section by section."""

    def __init__(
        self,
        tree: xr.DataTree,
        recovery: xr.DataTree | None,
        calibration: xr.DataTree | None,
        comparison: xr.DataTree | None,
    ):
        self.tree, self.recovery = tree, recovery
        self.calibration, self.comparison = calibration, comparison
        self.design = words.design(tree)
        self.books = words.codebooks(self.design.get("instruments", []))

    @cached_property
    def sampled(self) -> tuple[Check, ...]:
        """What the sampler's own checks say."""
        return diagnostics(self.tree)

    @cached_property
    def reliable(self) -> tuple[dict[str, float], dict[str, float]]:
        """Recovery (or reliability) of individual parameters: those shown, and those hidden."""
        own = [str(x) for x in self.design.get("individual", [])]
        found = trust(self.tree, own, self.recovery)
        shown = {k: v for k, v in found.items() if v >= TRUSTED}
        return shown, {k: v for k, v in found.items() if not v >= TRUSTED}

    def banners(self) -> list[dict[str, Any]]:
        """What must be read before anything else; the last one is always there."""
        found: list[dict[str, Any]] = []
        if self.design.get("exploratory"):
            found.append(
                {
                    "title": "⚠ EXPLORATORY: not a posterior.",
                    "text": f"{self.design.get('engine', 'This engine')} approximates it, and "
                    "intervals and spreads between people come out too small, sometimes fourfold. "
                    "Fit again with NUTS before anything here is reported.",
                }
            )
        if self.design.get("exposure") == "unknown":
            found.append(
                {
                    "title": "⚠ Exposure unknown: nothing here is a claim about a practice.",
                    "text": "Nobody recorded what people lived through between the occasions, so "
                    "a difference between groups may be anything that differed between them.",
                }
            )
        for title, text in self.notices:
            found.append({"title": f"⚠ {title}", "text": text})
        found.append(
            {
                "title": "Hypotheses, not clinical advice.",
                "text": "The model and its link to the items are hypotheses; nothing on this page "
                "diagnoses anybody or says what to do for them.",
                "quiet": True,
            }
        )
        return found

    @cached_property
    def notices(self) -> list[tuple[str, str]]:
        """Items whose answers a person should look at: (title, sentence)."""
        return words.notices(self.tree, self.books)

    def tiles(self) -> list[dict[str, Any]]:
        """The page in a few seconds."""
        bad = [c for c in self.sampled if not c.good]
        held, n = frames.inside(frames.counts(self.tree))
        what = "item counts"
        if not n:
            (held, n), what = frames.inside(frames.scores(self.tree)), "mean scores"
        share = held / n if n else 1.0
        found: list[dict[str, Any]] = [
            {
                "title": "Sampler",
                "good": not bad and not self.design.get("exploratory"),
                "text": "exploratory engine"
                if self.design.get("exploratory")
                else f"{len(bad)} of {len(self.sampled)} checks failed"
                if bad
                else f"all {len(self.sampled)} checks passed",
            },
            {
                "title": "Predictive check",
                "good": share >= 0.8,
                "text": f"{share:.0%} of {what} lie in their {LEVEL:.0%} interval",
            },
        ]
        effects = frames.rows(self.tree, ["effect"])
        if effects.sizes["row"]:
            clear = int(((effects["low"] > 0) | (effects["high"] < 0)).sum())
            found.append(
                {
                    "title": "Effects of covariates",
                    "good": None,
                    "text": f"{clear} of {effects.sizes['row']} intervals leave zero out",
                }
            )
        shown, hidden = self.reliable
        if shown or hidden:
            found.append(
                {
                    "title": "Single people",
                    "good": None,
                    "text": f"{len(shown)} of {len(shown) + len(hidden)} parameters can be told "
                    "person by person",
                }
            )
        return found
