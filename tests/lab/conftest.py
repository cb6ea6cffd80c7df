"""A checkout in miniature: one experiment, its model, its figure, a paper."""

from __future__ import annotations

from pathlib import Path

import pytest

EXPERIMENT = '''
"""A cheap experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xarray

from attach_ai.lab import Finding, Verdict

QUESTION = "Do numbers grow?"
PREDICTION = "The second is larger."
REFUTATION = "It is not."
ABLATION = "No growth."
NULL = "Zero."
FIGURE = "F99"
CLAIMS = (6,)
MODELS = ("tiny",)


@dataclass(frozen=True)
class Config:
    growth: float = 2.0
    n_seeds: int = 3
    arms: tuple[str, ...] = ("first", "second")
    half: bool = False
    limit: float | None = None


SMOKE = Config(n_seeds=1)
STANDARD = Config()
DEEP = Config(n_seeds=5)


def cells(config):
    def cell(i):
        with Path("log.txt").open("a") as log:
            log.write(f"{config.arms[i]} ")
        if Path("interrupt").exists() and i == 1:
            raise KeyboardInterrupt
        values = [config.growth**i * seed for seed in range(config.n_seeds)]
        return xarray.Dataset({"x": ("seed", values)}, attrs={"arm": config.arms[i]})

    return {arm: (lambda i=i: cell(i)) for i, arm in enumerate(config.arms)}


def run(config):
    return {name: work() for name, work in cells(config).items()}


def verdict(config, cells):
    first, second = (float(cells[arm].x.sum()) for arm in config.arms)
    grows = Finding("grows", "it grows", second > first, {"gain": second - first}, share=0.5)
    nan = Finding("beside", "no number", False, {"nan": float("nan")}, decides=False)
    return Verdict("tiny", PREDICTION, REFUTATION, (grows, nan))


def summary(cells):
    return {"both": xarray.concat([c.x for c in cells.values()], "arm").to_dataset()}
'''

FIGURE = """
from matplotlib.figure import Figure


def draw(cells, verdict):
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().plot(cells["both"].x.values.T)
    return figure
"""

PAPER = """
#let values = json("generated/values.json")
#let verdicts = json("generated/verdicts.json")
#values.scale
#for (name, verdict) in verdicts [ #name #image("generated/figures/" + name + ".svg") ]
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of the miniature checkout, made the current folder."""
    files = {
        "pyproject.toml": "",
        "experiments/tiny.py": EXPERIMENT,
        "experiments/_helper.py": "raise RuntimeError('a helper is no experiment')",
        "models/generative/tiny.toml": "name = 'tiny'",
        "paper/main.typ": PAPER,
        "paper/figures/tiny.py": FIGURE,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path
