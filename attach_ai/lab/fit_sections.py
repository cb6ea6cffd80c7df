"""Sections of the report of a fit: what was asked, whether to believe it, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attach_ai.lab import fit_words as words
from attach_ai.lab.fit_parts import Part, checks, figure, heading, listing, quote, table, text
from attach_ai.lab.fit_words import between, number
from attach_ai.plot import fit_frames as frames
from attach_ai.plot.fit_labels import called, plain, reading, told
from attach_ai.plot.fit_persons import TRUSTED, by_person
from attach_ai.plot.style import LEVEL

if TYPE_CHECKING:
    import xarray as xr

    from attach_ai.lab.fit_page import Page

MOST_PEOPLE = 500  # rows of the table of persons; the rest lies in the tree
ENOUGH = 100  # replicates from which on a calibration is taken to have looked
STILL = 1e-3  # range, in its own unit, below which a reading does not move
METHODS = (
    "The graded response model: Samejima, F. (1969). Psychometrika Monograph 17.",
    "NUTS: Hoffman, M. D., & Gelman, A. (2014). The No-U-Turn Sampler. Journal of Machine Learning "
    "Research, 15, 1593-1623.",
    "R-hat and effective sample size: Vehtari, A., et al. (2021). Bayesian Analysis, 16(2), "
    "667-718. doi:10.1214/20-BA1221",
    "NumPyro: Phan, D., Pradhan, N., & Jankowiak, M. (2019). arXiv:1912.11554",
)


def asked(page: Page) -> list[Part]:
    """The design, the priors, and what reading the data brought up."""
    d, data = page.design, frames.need(page.tree, "observed_data")
    of = frames.groups(page.tree).values
    names = [f"{b.full_name} ({n})" for n, b in page.books.items()]
    names += [n for n in d.get("instruments", []) if n not in page.books]
    sizes = [f"{plain(g)}: {(of == g).sum()}" for g in dict.fromkeys(of.tolist())]
    rows = [
        ("Model", d.get("model", "–")),
        ("Free parameters", words.listed([plain(x) for x in d.get("free", [])])),
        ("Differ between people", words.listed([plain(x) for x in d.get("individual", [])])),
        ("Link from beliefs to answers", d.get("link", "–")),
        ("Instruments", "; ".join(names) or "–"),
        ("People", f"{data.sizes['subject']} ({', '.join(sizes)})"),
        ("Occasions", words.occasions(page.tree)),
        ("Exposure", d.get("exposure", "–")),
        *_more(d),
    ]
    priors = frames.said(page.tree, "priors", [])
    found = [
        table("The design", ["What", "As asked"], rows),
        table(
            "Priors and their reasons",
            ["Site", "Prior", "Reason"],
            [[p.get(k, "") for k in ("site", "prior", "reason")] for p in priors],
        ),
    ]
    notes = frames.said(page.tree, "notes", [])
    if notes:
        found += [heading("What the reader of the data noted"), listing(notes)]
    return found


def _more(design: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked beyond that, where it was."""
    found = [
        ("What is read from beliefs", _readings(design.get("readings") or {})),
        ("Arms", design.get("arms")),
        ("Covariates", design.get("covariates")),
        ("Set, not free", design.get("settings")),
        ("Held at the prior's mean", [plain(str(x)) for x in design.get("anchored", [])]),
        ("Switched off", design.get("without")),
        ("Items answered through", words.response(design)),
    ]
    rows = []
    for name, value in found:
        if isinstance(value, Mapping):
            value = [f"{plain(str(k))}: {v}" for k, v in value.items()]
        if value:
            told = value if isinstance(value, str) else "; ".join(map(str, value))
            rows.append((name, told))
    return rows


def _readings(declared: Mapping[str, str]) -> dict[str, str]:
    """What each scale reads, its parts joined as the design has them."""
    return {
        scale: " and ".join(reading(part) for part in said.split(" and "))
        for scale, said in declared.items()
    }


def identified(page: Page) -> list[Part]:
    """What the design could tell before any answer was read; nothing where it was not asked."""
    from attach_ai.plot import fit_checks as pictures

    if "identification" not in page.tree.children:
        return []
    verdict = str(page.tree["identification"].attrs.get("verdict", ""))
    return [
        *(
            [listing([told(line) for line in verdict.split("\n") if line])]
            if verdict
            else [text("Everything that is free can be told by this design.")]
        ),
        figure(
            pictures.identification(page.tree),
            "Table of what the design could tell: the share of each parameter's prior variance "
            "that answers take away, and how reliably people can be told apart.",
            "Expected before any answer was read, from the information in this design at the "
            "centre of the priors; 0 nothing, 1 everything. Red frames: below a tenth.",
        ),
    ]


def diagnostics(page: Page) -> list[Part]:
    """The sampler's own checks, each with what to do."""
    lines = [
        {"good": c.good, "text": c.text, "do": "" if c.good else f"What to do: {c.do}"}
        for c in page.sampled
    ]
    return [checks(lines)]


def method(page: Page) -> list[Part]:
    """Recovery and calibration, or that they were not asked for."""
    from attach_ai.plot import fit_checks as pictures

    found: list[Part] = []
    if page.recovery is not None:
        found += [
            heading("Recovery"),
            figure(
                pictures.recovery(page.recovery),
                "True against estimated parameters in simulations of this design.",
                "People drawn from the model, answered by this design and fitted again. On the "
                f"line: perfect. Grey, hollow and struck: r below {TRUSTED}.",
            ),
            _recovered(page.recovery),
        ]
    if page.calibration is not None:
        ranks = frames.need(page.calibration, "calibration", "calibration")
        found += [
            heading("Calibration"),
            checks([_check(ranks)]),
            figure(
                pictures.calibration(page.calibration),
                "Distribution of the ranks of true values among draws, less the uniform "
                "distribution, with the band in which calibrated ones lie.",
                "Simulation-based calibration, the quantities furthest out. Grey: where the "
                "whole line of a calibrated quantity lies in 95 % of cases; red leaves it, and "
                "of twenty calibrated ones one does.",
            ),
        ]
    return found or [
        text(
            "Not asked here. Recovery says what this design can give back, calibration whether "
            "the sampler's intervals can be taken at their word."
        )
    ]


def results(page: Page) -> list[Part]:
    """Pictures and numbers of the population, and what differs between groups, in words."""
    from attach_ai.plot import fit_pages as pages
    from attach_ai.plot.fit import fit

    found = [
        figure(
            fit(page.tree),
            "Overview in four panels: beliefs by group over time, observed mean scores on "
            "predictive intervals, effects of covariates, and posteriors on their priors.",
            "The fit at a glance. Shaded: where the population's mean belief lies with "
            f"{LEVEL:.0%} probability. Marks are observed scores, bars what the fit predicts. "
            "Filled: the interval leaves zero out. Grey: the prior.",
        )
    ]
    if not all(c.good for c in page.sampled):
        warning = "The sampler failed some of its checks: every number below may yet change."
        found.insert(0, text(warning))
    said = words.effects(page.tree)
    if said:
        found += [heading("Differences between groups"), listing(said)]
        if page.design.get("exposure") == "unknown":
            found.append(text("As the exposure is unknown, none of this is about a practice."))
        whole = words.clusters(page.tree)
        if whole:
            found.append(text(whole))
    if "trajectory" in page.tree.children:
        found.append(
            figure(
                pages.beliefs(page.tree),
                "Each reading of beliefs over time, by group, with intervals.",
                "Beliefs that the answers read, as the mean over a group's people; ticks on the "
                "axis of time: answers were given.",
            )
        )
        found += _still(page)
    if frames.rows(page.tree, ["effect"]).sizes["row"]:
        found.append(
            figure(
                pages.effects(page.tree),
                "Forest of the effects of covariates on parameters.",
                "What covariates do to parameters, in logits of the parameter's support for a "
                "unit of the covariate (a standard deviation where it was standardised).",
            )
        )
    names = [n for n in frames.population_sites(page.tree) if n != "effect"]
    numbers = frames.rows(page.tree, ["effect", *names])
    rows = [
        [
            called(str(numbers["label"].values[i])),
            *(number(float(numbers[k][i])) for k in ("mid", "low", "high", "sd")),
        ]
        for i in range(numbers.sizes["row"])
    ]
    columns = ["Parameter", "Median", f"{LEVEL:.0%} from", "to", "sd"]
    found.append(table("Population parameters", columns, rows, numeric=True))
    return found


def _still(page: Page) -> list[Part]:
    """Readings that nothing moves, which therefore explain nothing."""
    ranges = frames.moved(frames.beliefs(page.tree))
    still = [reading(str(r)) for r in ranges["reading"].values[ranges.values < STILL]]
    if not still:
        return []
    return [
        text(
            f"Nothing that is free moves {words.listed(still)}: answers that read it are told by "
            "cutpoints and residuals alone, and say nothing of beliefs here."
        )
    ]


def persons(page: Page) -> list[Part]:
    """Those parameters of single people that can be told, and why others cannot."""
    shown, hidden = page.reliable
    if not shown and not hidden:
        return []
    what = "recovery in simulations" if page.recovery is not None else "posterior reliability"
    found: list[Part] = []
    if hidden:
        lines = [f"{plain(k)}: {number(v)}" for k, v in hidden.items()]
        found += [
            text(
                f"Hidden, because their {what} is below {TRUSTED}: estimates of single people "
                "would mostly repeat the population's mean, and their order would mislead. "
                "They still count in everything said of the population."
            ),
            listing(lines),
        ]
    if not shown:
        return [*found, text("So nothing is said of single people here.")]
    about = words.listed([f"{plain(k)} ({number(v)})" for k, v in shown.items()])
    found.append(text(f"Shown, with their {what}: {about}."))
    return [*found, *_people(page, list(shown))]


def _people(page: Page, names: Sequence[str]) -> list[Part]:
    frame = by_person(page.tree, names)
    n = frame.sizes["subject"]
    rows = []
    for i in range(min(n, MOST_PEOPLE)):
        at = frame.isel(subject=i)
        cells = [
            f"{number(float(at['mid'][j]))} ({between(float(at['low'][j]), float(at['high'][j]))})"
            for j in range(at.sizes["what"])
        ]
        rows.append([str(frame["subject"].values[i]), *cells])
    columns = ["Person", *(plain(str(w)) for w in frame["what"].values)]
    caption = f"Median and {LEVEL:.0%} interval, {frame.attrs['unit']}"
    if n > MOST_PEOPLE:
        caption += f"; the first {MOST_PEOPLE} of {n}, the rest is in the tree of the fit"
    return [table(caption, columns, rows, numeric=True)]


def methods(page: Page) -> list[Part]:
    """A paragraph ready to paste."""
    return [quote(words.methods(page.tree))]


def citations(page: Page) -> list[Part]:
    """Instruments and methods, with licences."""
    lines = []
    for name, book in page.books.items():
        doi = f" doi:{book.doi}" if book.doi else ""
        key = "" if book.verified == "read" else " The key is given from memory: check it."
        lines.append(f"{name}: {book.citation}{doi} Licence: {book.licence}.{key}")
    return [listing([*lines, *METHODS])]


def provenance(page: Page) -> list[Part]:
    """Versions, hashes and settings."""
    from_ = frames.said(page.tree, "provenance", {})
    rows = list(_flat(from_)) if isinstance(from_, Mapping) else [("", str(from_))]
    return [] if not rows else [table("Versions, hashes and settings", ["What", "Value"], rows)]


def _check(calibration: xr.Dataset) -> dict[str, Any]:
    """The verdict of a calibration as a check."""
    verdict, n = str(calibration.attrs["verdict"]), calibration.sizes["replicate"]
    if not verdict.startswith("calibrated"):
        say = "Read no interval of this fit as it stands: mend the model or the sampler."
    elif n < ENOUGH:
        say = f"Run {ENOUGH} replicates or more: {n} show nothing but gross errors."
    else:
        say = "Draw more from each fit." if "draw more" in verdict else ""
    return {"good": not say, "text": verdict, "do": say and f"What to do: {say}"}


def _recovered(tree: xr.DataTree) -> Part:
    frame = frames.need(tree, "individual", "recovery")
    kinds = {"r": "r", "bias": "Bias", "rmse": "RMSE", "coverage_89": f"{LEVEL:.0%} covers"}
    rows = [
        [plain(str(e)), *(number(float(frame[k][i])) for k in kinds)]
        for i, e in enumerate(frame["effect"].values)
    ]
    return table("Of single people", ["Parameter", *kinds.values()], rows, numeric=True)


def _flat(value: Mapping[str, Any], before: str = "") -> Any:
    for name, x in value.items():
        if isinstance(x, Mapping):
            yield from _flat(x, f"{before}{name}, ")
        else:
            yield f"{before}{name}", "–" if x is None else str(x)
