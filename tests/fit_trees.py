"""A fit made up for pictures and reports: the layout of a real one, numbers drawn at random."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

PARAMETERS = ("trust", "precision", "volatility")
INDIVIDUAL = ("trust", "precision")
GROUPS = ("practice", "waitlist")
OCCASIONS = ("baseline", "week 4", "week 8")
AT = (0, 28, 56)
SCALES = ("ecr_rs.anxiety", "ecr_rs.avoidance", "phq9.depression")
ITEMS = ("ecr_rs.1", "ecr_rs.2", "ecr_rs.7", "ecr_rs.8", "phq9.1", "phq9.2")
OF_SCALE = ("ecr_rs.avoidance",) * 2 + ("ecr_rs.anxiety",) * 2 + ("phq9.depression",) * 2
LEVELS = (7,) * 4 + (4,) * 2
READINGS = ("now agents.benevolent", "prior law.stable", "entropy of self_state")
N_CHAINS, N_DRAWS, N_SAMPLES = 4, 120, 60

DESIGN: dict[str, Any] = {
    "model": "attachment_waves",
    "free": list(PARAMETERS),
    "individual": list(INDIVIDUAL),
    "link": "attachment",
    "instruments": ["ecr_rs", "phq9"],
    "group": "arm",
    "response": "graded",
    "location": "cutpoints",
    "exposure": "schedule",
    "engine": "NUTS (NumPyro)",
    "exploratory": False,
    "seconds": 83.0,
    "step_length": 1.0,
}


def fitted(
    n_subjects: int = 40, *, groups: tuple[str, ...] = GROUPS, seed: int = 0, **design: Any
) -> xr.DataTree:
    """What `to_tree` gives, for `n_subjects` in `groups` over three waves."""
    rng = np.random.default_rng(seed)
    subject = np.array([f"p{i:03d}" for i in range(n_subjects)])
    arm = np.array(groups)[np.arange(n_subjects) % len(groups)]
    covariates = (groups[0], "age") if len(groups) > 1 else ("age",)
    coords: dict[str, Any] = {
        "parameter": list(PARAMETERS),
        "individual": list(INDIVIDUAL),
        "covariate": list(covariates),
        "item": list(ITEMS),
        "scale": list(SCALES),
        "own": [*INDIVIDUAL, *(f"residual {s}" for s in SCALES)],
        "subject": subject,
    }
    own = rng.normal(0, (0.95, 0.7, 0.8, 0.8, 0.8), (n_subjects, 5))
    posterior = _sites(rng, coords, 0.2, N_CHAINS, N_DRAWS)
    noise = rng.normal(0, (0.3, 0.75, 0.5, 0.5, 0.5), (N_CHAINS, N_DRAWS, n_subjects, 5))
    posterior["effects"] = (("chain", "draw", "subject", "own"), own + noise)
    prior = _sites(rng, coords, 1.0, 1, 500)
    answer, score, count = _answers(rng, arm, groups)
    people = ("subject", "episode", "occasion")
    labels = {
        "subject": subject,
        "episode": ["study"],
        "occasion": list(OCCASIONS),
        "group": list(groups),
        "item": list(ITEMS),
        "scale": list(SCALES),
        "category": np.arange(7),
    }
    predictive = _predictive(rng, score, count)
    nodes = {
        "posterior": xr.Dataset(posterior, coords),
        "prior": xr.Dataset(prior, {k: v for k, v in coords.items() if k != "subject"}),
        "sample_stats": _stats(rng),
        "posterior_predictive": xr.Dataset(predictive, labels),
        "prior_predictive": xr.Dataset(_predictive(rng, score * 0 + 2, count), labels),
        "observed_data": xr.Dataset(
            {
                "answer": ((*people, "item"), answer),
                "measure": ((*people, "item"), np.full(answer.shape, np.nan)),
                "score": ((*people, "scale"), score),
                "count": (("group", "occasion", "item", "category"), count),
            },
            labels,
        ),
        "trajectory": _beliefs(rng, groups),
        "constant_data": xr.Dataset(
            {
                "group": ("subject", arm),
                "step_of": (people, np.tile(AT, (n_subjects, 1, 1))),
                "covariates": (("subject", "episode", "covariate"), _zeros(n_subjects, covariates)),
            },
            {"subject": subject, "episode": ["study"], "covariate": list(covariates)},
        ),
    }
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs = {
        "design": json.dumps(DESIGN | design),
        "priors": json.dumps(
            [{"site": "mean[trust]", "prior": "Normal(0, 1)", "reason": "declared beta(2, 2)"}]
        ),
        "notes": json.dumps(["The category 6 of ecr_rs.2 was used by nobody."]),
        "provenance": json.dumps({"version": "0.1.0", "data": "ab" * 32, "date": "2026-01-01"}),
        "methods": json.dumps(""),
    }
    return tree


def _zeros(n: int, covariates: tuple[str, ...]) -> np.ndarray:
    return np.zeros((n, 1, len(covariates)))


def _sites(
    rng: np.random.Generator, coords: dict[str, Any], sd: float, n_chains: int, n_draws: int
) -> dict[str, Any]:
    """Sites and quantities, without those of persons."""

    def drawn(*dims: str, scale: float = sd, shift: float = 0.0) -> Any:
        shape = (n_chains, n_draws, *(len(coords[d]) for d in dims))
        return (("chain", "draw", *dims), shift + scale * rng.standard_normal(shape))

    mean = drawn("parameter")
    return {
        "mean": mean,
        "effect": drawn("parameter", "covariate", scale=sd / 2, shift=0.5 * (sd < 1)),
        "spread": (("chain", "draw", "individual"), np.abs(drawn("individual")[1])),
        "discrimination": drawn("item"),
        "cut_first": drawn("item"),
        "population": (mean[0], 1 / (1 + np.exp(-mean[1]))),
    }


def _stats(rng: np.random.Generator) -> xr.Dataset:
    shape = (N_CHAINS, N_DRAWS)
    found = {
        "diverging": np.zeros(shape, bool),
        "energy": rng.normal(0, 1, shape),
        "tree_depth": np.full(shape, 4),
        "n_steps": np.full(shape, 15),
        "acceptance_rate": rng.uniform(0.7, 1, shape),
        "lp": rng.normal(-500, 3, shape),
    }
    return xr.Dataset({k: (("chain", "draw"), v) for k, v in found.items()})


def _answers(
    rng: np.random.Generator, arm: np.ndarray, groups: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers with dropout (more in the last group), their mean scores and counts."""
    n, n_occasions = len(arm), len(OCCASIONS)
    answer = np.stack([rng.binomial(k - 1, 0.45, (n, 1, n_occasions)) for k in LEVELS], -1)
    leaves = rng.uniform(size=n) < np.where(arm == groups[-1], 0.3, 0.1)
    answer[leaves, :, -1] = -1
    answer[rng.uniform(size=answer.shape) < 0.04] = -1
    known = np.where(answer < 0, np.nan, answer)
    score = np.full((n, 1, n_occasions, len(SCALES)), np.nan)
    for s, name in enumerate(SCALES):
        part = known[..., [i for i, of in enumerate(OF_SCALE) if of == name]]
        some = np.isfinite(part).any(-1)
        score[..., s][some] = np.nanmean(part[some], -1)
    count = np.zeros((len(groups), n_occasions, len(ITEMS), 7), int)
    for g, group in enumerate(groups):
        for c in range(7):
            count[g, :, :, c] = (answer[arm == group] == c).sum((0, 1))
    return answer, score, count


def _predictive(rng: np.random.Generator, score: np.ndarray, count: np.ndarray) -> dict[str, Any]:
    total = count.sum(-1)
    p = (count + 0.5) / (count + 0.5).sum(-1, keepdims=True)
    p *= np.arange(7) < np.array(LEVELS)[:, None]
    again = rng.multinomial(total, p / p.sum(-1, keepdims=True), (N_SAMPLES, *total.shape))
    scores = score + rng.normal(0, 0.4, (N_SAMPLES, *score.shape))
    return {
        "score": (("sample", "subject", "episode", "occasion", "scale"), scores),
        "count": (("sample", "group", "occasion", "item", "category"), again),
    }


def _beliefs(rng: np.random.Generator, groups: tuple[str, ...]) -> xr.Dataset:
    steps = np.arange(57)
    rise = np.linspace(0.45, 0.1, len(groups))
    logit = -1 + np.outer(rise, steps / 12)[None, :, None, :, None]
    logit = logit + rng.normal(0, 0.25, (N_SAMPLES, len(groups), 1, 1, len(READINGS)))
    belief = 1 / (1 + np.exp(-logit))
    belief[..., 2] *= 1.3  # in nats
    dims = ("sample", "group", "episode", "step", "reading")
    labels = {"group": list(groups), "episode": ["study"], "step": steps}
    return xr.Dataset({"belief": (dims, belief)}, {**labels, "reading": list(READINGS)})


def identified() -> xr.Dataset:
    """The group `identification` of a fit: the population's numbers and people's effects."""
    site = ["mean"] * 3 + ["effect"] * 3 + ["cut_first"] * 2
    unknown = [f"mean[{p}]" for p in PARAMETERS] + [f"effect[{p}, practice]" for p in PARAMETERS]
    told = np.array([0.9, 0.5, 0.04, 0.8, 0.3, 0.02, 0.99, 0.99])
    return xr.Dataset(
        {
            "prior_sd": ("unknown", np.ones(8)),
            "posterior_sd": ("unknown", np.sqrt(1 - told)),
            "contraction": ("unknown", told),
            "alone": ("unknown", np.sqrt(told)),
            "reliability": ("effect", [0.8, 0.4]),
        },
        {
            "unknown": [*unknown, "cut_first[ecr_rs.1]", "cut_first[ecr_rs.2]"],
            "site": ("unknown", site),
            "effect": list(INDIVIDUAL),
        },
        {"verdict": "The answers say next to nothing about effect[volatility, practice]."},
    )


def scaled() -> xr.Dataset:
    """`Sensitivity.data`: one parameter of people and one of items hang on their priors."""
    verdict = ["", "the prior decides more than the data", "the prior, as it was"]
    told = {k: ("unknown", [0.9, 0.3, 0.0]) for k in ("contraction", "to_prior", "to_likelihood")}
    unknown = ["mean[trust]", "mean[precision]", "cut_first[ecr_rs.1]"]
    coords = {"unknown": unknown, "site": ("unknown", ["mean", "mean", "cut_first"])}
    return xr.Dataset({**told, "verdict": ("unknown", verdict)}, coords)


def recovered(r: tuple[float, float] = (0.9, 0.5), seed: int = 0) -> xr.DataTree:
    """What `Recovery.to_tree` gives: people's effects with these correlations."""
    rng = np.random.default_rng(seed)
    elements = ["mean trust", "effect trust practice", "cut_first ecr_rs.1"]
    sites = rng.normal(size=(10, 3))
    truth = rng.normal(size=(10, 40, 2))
    noise = rng.normal(size=truth.shape) * np.sqrt(1 / np.array(r) ** 2 - 1)
    columns = ("bias", "rmse", "coverage_50", "coverage_89", "contraction")

    def summary(dim: str, names: list[str], r: Any) -> xr.Dataset:
        values = {k: (dim, np.full(len(names), 0.9)) for k in columns}
        return xr.Dataset({**values, "r": (dim, list(r))}, {dim: names})

    dims = ("replicate", "subject", "effect")
    return xr.DataTree.from_dict(
        {
            "sites": xr.Dataset(
                {
                    "truth": (("replicate", "element"), sites),
                    "mean": (("replicate", "element"), 0.8 * sites),
                },
                {"element": elements},
            ),
            "people": xr.Dataset(
                {"truth": (dims, truth), "mean": (dims, truth + noise)},
                {"effect": list(INDIVIDUAL)},
            ),
            "summary": summary("element", elements, (0.99, 0.99, 0.99)),
            "individual": summary("effect", list(INDIVIDUAL), r),
        }
    )


def calibrated(wrong: int = 0, seed: int = 0) -> xr.DataTree:
    """What `Calibration.to_tree` gives; the first `wrong` quantities have too narrow posteriors."""
    rng = np.random.default_rng(seed)
    n_ranks, n = 15, 100
    names = [f"mean {p}" for p in PARAMETERS] + ["log likelihood"]
    rank = rng.integers(0, n_ranks + 1, (n, len(names)))
    rank[:, :wrong] = np.where(rank[:, :wrong] > n_ranks / 2, n_ranks, 0)
    expected = np.arange(1, n_ranks + 1) / (n_ranks + 1)
    p = np.where(np.arange(len(names)) < wrong, 0.0001, 0.5)
    verdict = "not calibrated: p = 0.0004." if wrong else "calibrated: p = 0.5."
    data = xr.Dataset(
        {
            "rank": (("replicate", "quantity"), rank),
            "p": ("quantity", p),
            "expected": ("rank_at", expected),
            "low": ("rank_at", expected - 0.15),
            "high": ("rank_at", expected + 0.15),
        },
        {"quantity": names},
        {"verdict": verdict},
    )
    return xr.DataTree.from_dict({"calibration": data})


def compared() -> xr.DataTree:
    """What `Comparison.to_tree` gives, for three models."""
    columns = {
        "elpd": [-900.0, -934.0, -950.0],
        "difference": [0.0, -34.0, -50.0],
        "difference_se": [0.0, 9.0, 30.0],
        "waves_difference": [0.0, 3.0, -20.0],
        "waves_difference_se": [0.0, 4.0, 8.0],
        "weight": [0.8, 0.2, 0.0],
        "protected": [0.97, 0.02, 0.01],
        "k_share": [0.0, 0.0, 0.05],
    }
    names = ["autoregression", "attachment_waves", "growth"]
    table = xr.Dataset({k: ("model", v) for k, v in columns.items()}, {"model": names})
    tree = xr.DataTree.from_dict({"table": table})
    tree.attrs["verdict"] = "Of people left out, autoregression predicts better by 34 nats."
    return tree


def designed() -> xr.Dataset:
    """`Design.data`: 3 numbers of people, 2 of waves, 1 of items, 2 doses."""
    people, waves = np.array([50, 100, 200]), np.array([2, 4])
    power = np.clip((people[:, None] * waves / 900)[:, :, None, None] * np.ones((3, 2, 1, 2)), 0, 1)
    power = power * np.array([0.5, 1.0])
    axes = ("people", "waves", "items", "dose")
    reliability = np.broadcast_to(np.array([0.4, 0.6])[:, None, None], (2, 1, 2))
    return xr.Dataset(
        {
            "power": (axes, power),
            "assurance": (axes, power * 0.9),
            "reliability": (("effect", *axes[1:]), reliability[None]),
        },
        {
            "people": people,
            "waves": waves,
            "items": ["all"],
            "dose": [0.5, 1.0],
            "effect": ["trust"],
        },
    )


def shifted() -> xr.Dataset:
    """`NotAtRandom.data`: one contrast, two scales, the effect gone from delta 1 on."""
    delta = np.array([-1.0, 0.0, 1.0])
    effect = (0.6 - 0.4 * delta)[:, None, None] * np.ones((3, 1, 2))
    dims = ("delta", "contrast", "scale")
    return xr.Dataset(
        {
            "effect": (dims, effect),
            "effect_low": (dims, effect - 0.3),
            "effect_high": (dims, effect + 0.3),
        },
        {"delta": delta, "contrast": ["practice against waitlist"], "scale": list(SCALES[:2])},
    )


def contested(
    scales: tuple[str, ...] = SCALES,
    *,
    episodes: tuple[str, ...] = ("study",),
    n_occasions: int = 3,
    parameters: tuple[str, ...] = PARAMETERS,
    seed: int = 0,
) -> xr.Dataset:
    """What `attach_ai.lab.fitted.fitted` gives: our fit and opponents, of which one is ahead."""
    rng = np.random.default_rng(seed)
    shape = (len(GROUPS), len(episodes), n_occasions, len(scales))
    score = 2 + np.arange(len(scales)) / 4 + 0.2 * rng.normal(size=shape)
    middle = score + 0.1 * rng.normal(size=shape)
    mid = rng.normal(0, 0.5, (len(parameters), 2)).reshape(-1)
    ends = np.array([-1.0, 0.0, 1.0])
    ahead = {"attachment_waves": 0.0, "without benevolent": 1.5, "without law": 30.0}
    ahead |= {"with author": -2.0, "mixed": 410.0, "growth": 55.0, "autoregression": -120.0}
    away = np.array([*ahead.values()])
    names = [f"effect[{p}, {c}]" for p in parameters for c in ("practice", "age")]
    return xr.Dataset(
        {
            "estimate": (("end", "quantity"), mid + 0.4 * ends[:, None]),
            "score": (("group", "episode", "occasion", "scale"), score),
            "predicted": (
                ("end", "group", "episode", "occasion", "scale"),
                middle + 0.3 * ends[:, None, None, None, None],
            ),
            "ahead": ("model", away),
            "ahead_se": ("model", 2 + np.abs(away) / 8),
            "waves_ahead": ("model", away / 3),
            "waves_ahead_se": ("model", 2 + np.abs(away) / 12),
        },
        {
            "end": ["low", "median", "high"],
            "quantity": names,
            "group": list(GROUPS),
            "episode": list(episodes),
            "occasion": [str(i + 1) for i in range(n_occasions)],
            "scale": list(scales),
            "model": list(ahead),
        },
        {"rhat": 1.02, "ess": 120.0, "divergences": 0.0},
    )
