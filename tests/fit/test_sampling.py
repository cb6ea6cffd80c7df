"""Draws come from the posterior, whatever interrupted them and whoever drew them.

NumPyro mixes integer widths under x64; the library lifts strict promotion around it by itself.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.fit.sampling import processes, worker
from attach_ai.fit.sampling.chain import Density, Settings
from attach_ai.fit.sampling.identity import fingerprint
from attach_ai.fit.sampling.sample import Draws, Refit, sample, sample_many, seed_of
from tests.fit.toy import ToyStudy, toy

# Two unknown means, one length of chain: what is compiled once serves every test.
STUDY = toy(20, individual=False)
LENGTH = {"warmup": 150, "draws": 600}
ONE = {**LENGTH, "chains": 2, "processes": 1, "progress": False}


def same(a: Draws, b: Draws) -> None:
    for name, x in a.sites.items():
        np.testing.assert_array_equal(x, b.sites[name])
    for name, x in a.stats.items():
        np.testing.assert_array_equal(x, b.stats[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Draws, Path]:
    """A fit that nobody interrupted, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return sample(STUDY, 1, folder=folder, **ONE), folder


def grid(study: ToyStudy, n: int = 81) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the two means, by summing over a grid."""
    axis = np.linspace(-1.5, 2.5, n)
    points = jnp.asarray(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    none = jnp.zeros((study.people.answer.shape[0], 0))

    def log_p(mean: Any) -> Any:
        prior = -0.5 * (mean**2).sum()
        return prior + study.log_likelihood({"mean": mean}, none, study.people).sum()

    log = np.asarray(jax.jit(lambda x: jax.lax.map(log_p, x))(points))
    p = np.exp(log - log.max())
    p /= p.sum()
    mean = p @ np.asarray(points)
    return mean, np.sqrt(p @ (np.asarray(points) - mean) ** 2)


def test_the_posterior_is_that_of_a_grid(whole: tuple[Draws, Path]) -> None:
    draws, _ = whole
    mean, sd = grid(STUDY)
    drawn = draws.sites["mean"].reshape(-1, 2)
    # Neighbouring draws resemble each other: take a fifth of them to be worth their number.
    error = sd / np.sqrt(len(drawn) / 5)
    assert np.all(np.abs(drawn.mean(0) - mean) < 4 * error)
    np.testing.assert_allclose(drawn.std(0), sd, rtol=0.12)
    assert draws.divergences == 0
    assert not draws.exploratory
    assert draws.notice == ""
    assert draws.sites["effects"].shape == (2, 600, 20, 0)
    lp = jax.jit(Density(STUDY))(jnp.asarray(draws.sites["mean"][1, 7]), STUDY.people)
    assert draws.stats["lp"][1, 7] == pytest.approx(float(lp), rel=1e-9)


def test_a_killed_fit_goes_on_to_the_same_draws(whole: tuple[Draws, Path], tmp_path: Path) -> None:
    settings = Settings(**LENGTH)
    task = worker.Task(STUDY, settings, 1, (0, 1), tmp_path, every=20)
    child = subprocess.Popen(
        [sys.executable, "-m", "attach_ai.fit.sampling.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=processes._environment(),
    )
    assert child.stdin is not None
    child.stdin.write(pickle.dumps(task))
    child.stdin.close()
    late = time.monotonic() + 60
    while worker.done(tmp_path, 0) < 200 and child.poll() is None and time.monotonic() < late:
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert worker.done(tmp_path, 0) >= 200
    assert worker.done(tmp_path, 1) < settings.length
    same(sample(STUDY, 1, folder=tmp_path, every=70, **ONE), whole[0])


def test_a_finished_folder_is_read_at_once(
    whole: tuple[Draws, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "Nuts", None)
    same(sample(STUDY, 1, folder=whole[1], **ONE), whole[0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 2}, "seed was 1 and is now 2"),
        ({"draws": 601}, "draws was 600 and is now 601"),
        ({"engine": "svi"}, "engine was nuts and is now svi"),
        ({"study": toy(20, individual=False, seed=1)}, "the people differ"),
    ],
)
def test_a_folder_of_another_fit_is_left_alone(
    whole: tuple[Draws, Path], change: dict[str, Any], says: str
) -> None:
    before = sorted(whole[1].iterdir())
    with pytest.raises(InputError, match=says):
        sample(**{"study": STUDY, "seed": 1, "folder": whole[1], **ONE, **change})
    assert sorted(whole[1].iterdir()) == before


def test_a_broken_block_is_named(whole: tuple[Draws, Path], tmp_path: Path) -> None:
    sample_json = (whole[1] / "fit.json").read_text()
    (tmp_path / "fit.json").write_text(sample_json)
    for path in whole[1].glob("*.npz"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"chain-0\.npz: could not be read; delete chain-0\.npz"):
        sample(STUDY, 1, folder=tmp_path, **ONE)
    for c in range(2):
        shutil.copy(whole[1] / f"chain-{c}.npz", tmp_path)
    with pytest.raises(
        InputError, match=r"chain-0-\d+\.npz: could not be read; delete chain-0\.np"
    ):
        sample(STUDY, 1, folder=tmp_path, **ONE)


def test_what_is_deleted_is_drawn_anew(whole: tuple[Draws, Path], tmp_path: Path) -> None:
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    worker.blocks(tmp_path, 1)[3].unlink()
    with pytest.raises(InputError, match=r"chain-1\.npz: \d+ of \d+ iterations are there; delete"):
        sample(STUDY, 1, folder=tmp_path, **ONE)
    (tmp_path / "chain-1.npz").unlink()
    same(sample(STUDY, 1, folder=tmp_path, **ONE), whole[0])


def test_many_fits_compile_once() -> None:
    other = toy(20, individual=False, seed=3).people
    refit = Refit(STUDY, **LENGTH)
    alone = refit(other, seed_of(7, 1))
    refit(STUDY.people, 0)
    assert refit.nuts.n_traces == 1
    both = sample_many(STUDY, [STUDY.people, other, other], 7, **LENGTH)
    same(alone, both[1])
    assert not np.array_equal(both[1].sites["mean"], both[2].sites["mean"])


def test_variational_inference_is_marked() -> None:
    draws = sample(STUDY, 1, engine="svi", **ONE)
    assert draws.exploratory
    assert "exploratory" in draws.notice
    mean, sd = grid(STUDY)
    np.testing.assert_allclose(draws.sites["mean"].mean((0, 1)), mean, atol=sd.max())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["svi", "laplace"])
def test_approximations_find_people(engine: str) -> None:
    """Roughly: the people rise from 0 to 1, one standard deviation apart."""
    draws = sample(toy(20), 1, engine=engine, **ONE)
    assert draws.exploratory
    assert draws.sites["effects"].shape == (2, 600, 20, 1)
    np.testing.assert_allclose(draws.sites["mean"].mean((0, 1)), (0.0, 1.0), atol=0.8)
    assert 0.4 < draws.sites["spread"].mean() < 2.0


def test_laplace_is_exact_where_the_posterior_is_normal() -> None:
    mean, sd = grid(STUDY)
    drawn = sample(STUDY, 1, engine="laplace", **ONE).sites["mean"].reshape(-1, 2)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.15 * sd.max())
    np.testing.assert_allclose(drawn.std(0), sd, rtol=0.1)


def test_who_has_no_probability_is_named() -> None:
    study = toy(4, n_continuous=1, individual=False)
    measure = study.people.measure.at[2, 0, 0, -1].set(jnp.inf)
    study = eqx.tree_at(lambda s: s.people.measure, study, measure)
    with pytest.raises(InputError, match=r"1 people have no finite .* first being 'p2'"):
        sample(study, 1, **ONE)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "gibbs"}, "engine = 'gibbs'; expected one of nuts, nutpie, svi, laplace"),
        ({"chains": 0}, "chains = 0; expected 1 or more"),
        ({"warmup": 3}, "warmup = 3; expected 10 or more"),
        ({"target_accept": 1.0}, "target_accept = 1.0; expected a share between 0 and 1"),
    ],
)
def test_impossible_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sample(STUDY, 1, **options)


def test_an_interruption_says_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker.Task, "here", stop)
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        sample(STUDY, 1, folder=tmp_path, **ONE)


def test_a_study_that_cannot_be_sent_says_so() -> None:
    def build() -> ToyStudy:
        return STUDY

    with pytest.raises(InputError, match="cannot be sent to another process"):
        sample(build, 1, chains=2, processes=2, progress=False)


@pytest.mark.slow
def test_processes_draw_what_one_does(whole: tuple[Draws, Path]) -> None:
    """From a study, and from a function of a module that builds one."""
    same(sample(STUDY, 1, **{**ONE, "processes": 2}), whole[0])


@pytest.mark.slow
def test_nutpie_finds_the_same_posterior() -> None:
    pytest.importorskip("nutpie")
    mean, sd = grid(STUDY)
    draws = sample(STUDY, 1, engine="nutpie", **ONE)
    assert not draws.exploratory
    drawn = draws.sites["mean"].reshape(-1, 2)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.2 * sd.max())
    np.testing.assert_allclose(drawn.std(0), sd, rtol=0.15)


@pytest.mark.slow
def test_a_study_is_itself_in_another_process() -> None:
    script = (
        "from tests.fit.toy import toy; from attach_ai.fit.sampling.identity import fingerprint;"
        "print(fingerprint(toy(20, individual=False)))"
    )
    env = {**processes._environment(), "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    assert run.stdout.strip() == fingerprint(STUDY), run.stderr
