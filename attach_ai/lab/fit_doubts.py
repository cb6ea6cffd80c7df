"""Sections of the report of a fit that ask what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from attach_ai.lab import fit_words as words
from attach_ai.lab.fit_parts import Part, figure, listing, table, text
from attach_ai.lab.fit_words import number
from attach_ai.plot import fit_frames as frames
from attach_ai.plot.fit_labels import called, plain

if TYPE_CHECKING:
    from attach_ai.lab.fit_page import Page


def predictive(page: Page) -> list[Part]:
    """Scores and counts of answers on what the fit predicts."""
    from attach_ai.plot import fit_pages as pages

    found = [
        figure(
            pages.scores(page.tree),
            "Observed mean scores by occasion and group on predictive intervals.",
            "Marks: observed. Bars: what the fit predicts for the same people at the same "
            "occasions. Hollow marks lie outside.",
        )
    ]
    items = [str(i) for i in frames.need(page.tree, "observed_data")["item"].values]
    for instrument in dict.fromkeys(i.partition(".")[0] for i in items):
        own = [i for i in items if i.partition(".")[0] == instrument]
        for first in range(0, len(own), pages.DEEPEST):
            some = own[first : first + pages.DEEPEST]
            if not _counted(page, some):
                continue
            found.append(
                figure(
                    pages.answers(page.tree, some),
                    f"Counts of each answer to items of {instrument} on predictive intervals.",
                    f"{instrument}: how many people chose each category (keyed, from 0); marks "
                    "are observed, bars predicted, hollow red marks lie outside.",
                )
            )
    return found


def _counted(page: Page, items: Sequence[str]) -> bool:
    return float(page.tree["observed_data"]["count"].sel(item=list(items)).sum()) > 0


def rivals(page: Page) -> list[Part]:
    """Other models of the same answers, or that none was asked for."""
    from attach_ai.plot import fit_checks as pictures
    from attach_ai.plot.fit_check_frames import compared

    if page.comparison is None:
        return [text("Not asked here. Compare with honest rivals before believing this model.")]
    frame = compared(page.comparison)
    kinds = {
        "difference": "elpd less the best's",
        "difference_se": "se",
        "waves_difference": "of occasions",
        "waves_difference_se": "se",
        "weight": "Weight",
        "protected": "Protected exceedance",
        "k_share": "Failed weights",
    }
    kept = {k: v for k, v in kinds.items() if k in frame}
    rows = [
        [str(m), *(number(float(frame[k][i])) for k in kept)]
        for i, m in enumerate(frame["model"].values)
    ]
    verdict = str(page.comparison.attrs.get("verdict", ""))
    return [
        *([listing(verdict.split("\n"))] if verdict else []),
        figure(
            pictures.comparison(page.comparison),
            "Models by how well they predict people and occasions left out, best first, and "
            "the probability of each to be the commonest.",
            "Integrated leave-one-out: each person is predicted from all others. A difference "
            "within two standard errors is not clear.",
        ),
        table("Models, best first", ["Model", *kept.values()], rows, numeric=True),
    ]


def missing(page: Page) -> list[Part]:
    """Who answered when, and what hangs on those who left."""
    from attach_ai.plot import fit_pages as pages

    frame = frames.missing(page.tree)
    rows = []
    for g in range(frame.sizes["group"]):
        for e in range(frame.sizes["episode"]):
            for o in range(frame.sizes["occasion"]):
                at = frame.isel(group=g, episode=e, occasion=o)
                if np.isfinite(float(at["answered"])):
                    labels = [str(frame[d].values[i]) for d, i in (("group", g), ("occasion", o))]
                    rows.append(
                        [
                            *map(plain, labels),
                            *(f"{float(at[k]):.0%}" for k in ("answered", "items")),
                        ]
                    )
    return [
        figure(
            pages.missingness(page.tree),
            "Share of people who answered at each occasion, by group.",
            "Who answered. The fit takes answers to be missing at random given what was "
            "observed; where one group left more than another, that is a strong assumption.",
        ),
        table(
            "Answers by group and occasion",
            ["Group", "Occasion", "People who answered", "Items they answered"],
            rows if len(rows) <= 60 else [],
            numeric=True,
        ),
        *_not_at_random(page),
    ]


def _not_at_random(page: Page) -> list[Part]:
    """What if those who left differ, where the tree holds it."""
    from attach_ai.plot import fit_checks as pictures

    if "not_at_random" not in page.tree.children:
        return []
    data = page.tree["not_at_random"].to_dataset()
    if not data.sizes["contrast"] * data.sizes["scale"]:
        return []
    return [
        figure(
            pictures.not_at_random(data),
            "Differences between groups in last scores, as those who left are taken to differ "
            "from those who stayed.",
            "If those who left would have answered delta logits higher: the difference in last "
            "scores, adjusted for the first, pooled over imputations. Delta 0: missing at random. "
            "Red and hollow: the interval holds zero.",
        ),
        listing(words.hanging(data)),
    ]


def sensitivity(page: Page) -> list[Part]:
    """How far the data moved the priors, and what another prior would change."""
    from attach_ai.plot import fit_pages as pages

    numbers = frames.learned(page.tree, frames.sites(page.tree))
    poor = [
        called(str(n))
        for n, c in zip(numbers["label"].values, numbers["contraction"].values, strict=True)
        if c < 0.1
    ]
    found = [
        figure(
            pages.learned(page.tree),
            "Posterior of every population parameter on its prior.",
            "Grey: prior. “Learned” is the share of the prior's variance that the data took "
            "away. Hollow red: less than a tenth.",
        )
    ]
    if poor:
        found.append(
            text(
                f"The data said next to nothing about {words.listed(poor)}: what stands there "
                "is the prior. Report these as assumed."
            )
        )
    return [*found, *_scaled(page)]


def _scaled(page: Page) -> list[Part]:
    """Power-scaling, where the tree holds it."""
    if "sensitivity" not in page.tree.children:
        return []
    frame = page.tree["sensitivity"].to_dataset()
    flagged = frame["verdict"].values != ""
    of_items = np.isin(frame["site"].values, frames.population_sites(page.tree, items=True))
    rows = [
        [
            called(str(frame["unknown"].values[i])),
            *(number(float(frame[k][i])) for k in ("contraction", "to_prior", "to_likelihood")),
            str(frame["verdict"].values[i]),
        ]
        for i in np.flatnonzero(flagged & ~of_items)
    ]
    columns = ["Parameter", "Learned", "To the prior", "To the data", "What it means"]
    found = [
        table("Power-scaling sensitivity: what needs a look", columns, rows)
        if rows
        else text("Power-scaling finds no parameter of people that hangs on its prior.")
    ]
    n = int((flagged & of_items).sum())
    if n:
        said = f"Of items, {n} of {int(of_items.sum())} parameters hang on theirs."
        found.append(text(said))
    return found
