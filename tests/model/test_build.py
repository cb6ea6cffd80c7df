"""From declarations to arrays: values, shapes, gradients, and switched-off levels."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attach_ai.errors import InputError
from attach_ai.model import POMDP, Model, load_model, load_phenotype, load_world, names


@pytest.fixture(scope="module")
def core() -> Model:
    return load_model("attachment_core")


def drawn(model: Model, seed: int) -> dict[str, float]:
    """Parameters drawn from the inside of their supports."""
    rng = np.random.default_rng(seed)
    return {p.name: float(rng.uniform(*p.support)) for p in model.declared}


def columns(pomdp: POMDP) -> list[jax.Array]:
    return [*pomdp.A, *pomdp.B, *pomdp.D, *pomdp.E]


@pytest.mark.parametrize("name", names("model"))
@pytest.mark.parametrize("seed", [0, 1])
def test_columns_are_distributions_anywhere_in_the_support(name: str, seed: int) -> None:
    model = load_model(name)
    for array in columns(model.build(drawn(model, seed))):
        assert (array >= 0).all()
        np.testing.assert_allclose(array.sum(axis=0), 1, atol=1e-12)


def test_axes_stand_in_the_documented_order(core: Model) -> None:
    pomdp, layout = core.build(), core.layout
    for array, modality in zip(pomdp.A, layout.modalities, strict=True):
        parents = tuple(len(layout.factors[f].levels) for f in modality.parents)
        assert array.shape == (len(modality.levels), *parents)
        assert list(modality.parents) == sorted(modality.parents)
    for f, (array, factor) in enumerate(zip(pomdp.B, layout.factors, strict=True)):
        parents = tuple(len(layout.factors[p].levels) for p in factor.parents)
        actions = tuple(len(layout.actions[a].levels) for a in factor.actions)
        assert array.shape == (len(factor.levels), *parents, *actions)
        assert f in factor.parents


def test_cells_land_where_their_rows_say(core: Model) -> None:
    """Every cell of three tables against its equation, written out by hand."""
    values = drawn(core, 3)
    pomdp, p = core.build(values), values
    layout = core.layout
    calm = pomdp.A[layout.modality("interoception")]
    for s, o, t, u in product(range(2), range(3), range(2), range(2)):
        leak = p["calm_base"] * (p["calm_threat"] if t else 1)
        spoilt = p["contamination"] if s else 0
        other = p["w_other"] * p["proximity"] * (1 - p["contam_received"] * spoilt) * (o == 2)
        own = p["w_own"] * (1 - spoilt) * (u == 1)
        expected = 1 - (1 - leak) * (1 - other) * (1 - own)
        alarm = p["alarm_high"] if t else p["alarm_low"]
        np.testing.assert_allclose(calm[0, s, o, t, u], expected, rtol=1e-12)
        np.testing.assert_allclose(calm[2, s, o, t, u], (1 - expected) * alarm, rtol=1e-12)
    agents = pomdp.B[layout.factor("agents")]  # (next, self_state, agents, law, next_stance)
    for stance, share in enumerate((1 - p["watched"], 1, 1 - p["watched"])):
        gone = 1 - (1 - p["h0"]) * np.exp(-p["kappa"] * share)
        np.testing.assert_allclose(agents[0, 1, 2, 2, stance], gone, rtol=1e-12)
    np.testing.assert_allclose(agents[0, 0, 2, 2], p["h0"], rtol=1e-12)
    np.testing.assert_allclose(agents[0, :, 2, 1], p["h_unstable"], rtol=1e-12)
    np.testing.assert_allclose(agents[1, :, 0, :], p["intrusion"], rtol=1e-12)
    law = pomdp.B[layout.factor("law")]
    drift = p["law_drift"]
    np.testing.assert_allclose(law, np.eye(3) * (1 - drift * 1.5) + drift / 2, rtol=1e-12)
    stance = pomdp.B[layout.factor("stance")]
    np.testing.assert_array_equal(stance, np.repeat(np.eye(3)[:, None], 3, axis=1))
    np.testing.assert_allclose(pomdp.counts["D.agents"], 10)


def test_keywords_replace_settings_and_settings_replace_defaults(core: Model) -> None:
    injured = load_phenotype("attachment_injury")
    benevolent = [core.build(injured, trust=0.6).D[1][2], core.build(injured).D[1][2]]
    np.testing.assert_allclose(benevolent, [0.6, 0.05])
    assert core.build().D[1][2] == pytest.approx(core.defaults["trust"])


@pytest.mark.parametrize("name", ["attachment_core", "teaching"])
def test_traced_and_plain_numbers_build_the_same(name: str) -> None:
    model = load_model(name)
    values = drawn(model, 5)
    plain = model.build(values)
    traced = jax.jit(lambda v: model.build(v))(values)
    first = next(iter(values))
    one = jax.jit(lambda x: model.build(values, **{first: x}))(values[first])
    for got in (traced, one):
        assert got.layout == plain.layout
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-14), plain, got)
        same = jax.tree.map(lambda x, y: (x.shape, x.dtype) == (y.shape, y.dtype), plain, got)
        assert jax.tree.all(same)


def test_gradients_match_finite_differences_in_every_parameter(core: Model) -> None:
    values = drawn(core, 7)
    key = iter(jax.random.split(jax.random.key(0), 100))
    weights = jax.tree.map(lambda x: jax.random.normal(next(key), x.shape), core.build())

    def score(v: dict[str, float]) -> jax.Array:
        products = jax.tree.map(lambda x, w: (x * w).sum(), core.build(v), weights)
        return jnp.stack(jax.tree.leaves(products)).sum()

    slopes = jax.jit(jax.grad(score))(values)
    step = 1e-6
    for name, slope in slopes.items():
        up, down = (score(values | {name: values[name] + s}) for s in (step, -step))
        np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-5, atol=1e-7)


def test_vmap_builds_many_at_once(core: Model) -> None:
    trust = jnp.array([0.1, 0.9])
    many = jax.vmap(lambda x: core.build(trust=x))(trust)
    np.testing.assert_allclose(many.D[1][:, 2], trust)
    for i, x in enumerate(trust.tolist()):
        np.testing.assert_allclose(many.D[1][i], core.build(trust=x).D[1])


def test_rounding_leaves_no_negative_probability(core: Model) -> None:
    with jax.enable_x64(False):
        single = jax.jit(lambda t, h: core.build(trust=t, hostility=h))(
            jnp.float32(0.9), jnp.float32(1.0)
        )
    assert (single.D[1] >= 0).all()


@pytest.mark.parametrize("how", ["noisy_or", "max", "additive"])
def test_causes_combine_as_the_variant_says(core: Model, how: str) -> None:
    p = core.defaults | {"calm_base": 0.2, "w_other": 0.3, "w_own": 0.4}
    calm = core.combining(how).build(p).A[0]
    for array in calm.reshape(3, -1).T:
        np.testing.assert_allclose(array.sum(), 1, atol=1e-12)
    both = {"noisy_or": 1 - 0.8 * 0.7 * 0.6, "max": 0.4, "additive": 0.9}[how]
    np.testing.assert_allclose(calm[0, 0, 2, 0, 1], both, rtol=1e-12)
    full = core.combining(how).build(p, w_other=0.9).A[0][0, 0, 2, 0, 1]
    np.testing.assert_allclose(full, {"noisy_or": 0.952, "max": 0.9, "additive": 0.98}[how])


class TestWithout:
    def test_prior_and_inflow_are_exactly_zero_and_columns_renormalise(self, core: Model) -> None:
        full, less = core.build(), core.without("agents.benevolent").build()
        assert (less.D[1][2] == 0).all()
        assert (less.B[1][2] == 0).all()
        for array in columns(less):
            np.testing.assert_allclose(array.sum(axis=0), 1, atol=1e-12)
        kept = full.B[1][:2] / full.B[1][:2].sum(axis=0, keepdims=True)
        np.testing.assert_allclose(less.B[1][:2], kept, rtol=1e-12)
        same = jax.tree.map(lambda x, y: x.shape == y.shape, full.B, less.B)
        assert jax.tree.all(same)
        assert less.layout.factors[1].excluded == (2,)
        assert core.layout.factors[1].excluded == ()

    def test_several_in_turn_and_a_known_factor_refuses(self, core: Model) -> None:
        model = core.without("agents.benevolent").without("law.contingent")
        np.testing.assert_array_equal(model.build().D[4][2], 0)
        with pytest.raises(InputError, match=r"B\.stance: switching off stance\.monitor leaves"):
            core.without("stance.monitor").build()

    def test_an_empty_column_is_an_error_that_names_it(self, core: Model) -> None:
        model = core.without("agents.benevolent")
        with pytest.raises(InputError) as caught:
            model.build(h0=0.0)
        assert "B.agents: switching off agents.benevolent leaves the column empty" in str(
            caught.value
        )
        assert "agents = benevolent, law = stable" in str(caught.value)

    def test_under_tracing_it_is_the_same_and_differentiates(self, core: Model) -> None:
        model = core.without("agents.benevolent")
        traced = jax.jit(lambda h: model.build(hostility=h))(0.4)
        np.testing.assert_allclose(traced.D[1], model.build(hostility=0.4).D[1], atol=1e-15)
        slope = jax.grad(lambda h: model.build(hostility=h).D[1][1])(0.4)
        np.testing.assert_allclose(slope, 1.0, rtol=1e-12)  # trust cancels out

    @pytest.mark.parametrize("target", ["agents", "agents.kind", "other.benevolent"])
    def test_an_unknown_target_is_an_input_error(self, core: Model, target: str) -> None:
        with pytest.raises(InputError, match="attachment_core"):
            core.without(target)


class TestRefusals:
    def test_unknown_parameter(self, core: Model) -> None:
        with pytest.raises(InputError, match="no parameter 'turst'; did you mean 'trust'"):
            core.build(turst=0.1)

    @pytest.mark.parametrize("value", [1.2, -0.1, float("nan")])
    def test_outside_the_support(self, core: Model, value: float) -> None:
        with pytest.raises(InputError, match=r"outside its support \[0, 1\]"):
            core.build(trust=value)

    def test_no_number(self, core: Model) -> None:
        with pytest.raises(InputError, match="trust is a number, got 'high'"):
            core.build(trust="high")
        with pytest.raises(InputError, match=r"array of shape \(2,\); use jax.vmap"):
            core.build(trust=np.array([0.1, 0.2]))

    def test_settings_of_another_model_name_their_file(self, core: Model, tmp_path: Path) -> None:
        path = tmp_path / "odd.toml"
        path.write_text('format = 1\nname = "odd"\nassumption = true\n[parameters]\nwarmth = 0.5\n')
        with pytest.raises(InputError, match="no parameter 'warmth'") as caught:
            core.build(load_phenotype(path))
        assert caught.value.place.endswith("odd.toml")


def attached(model: Model) -> bool:
    return any(f.name == "agents" for f in model.layout.factors)


@pytest.mark.parametrize("name", [n for n in names("model") if attached(load_model(n))])
def test_worlds_and_phenotypes_fit_every_model_with_an_other(name: str) -> None:
    model = load_model(name)
    f = model.layout.factor("agents")
    level = model.layout.factors[f].levels.index("benevolent")
    imagined = model.build(load_world("imagined_other"))
    real = model.build(load_world("real_other"))
    assert imagined.D[f][level] == 0
    assert (imagined.B[f][level].take(jnp.array([0]), axis=0) == 0).sum() > 0
    assert real.D[f][level] == 1
    trust = [
        float(model.build(load_phenotype(p)).D[f][level]) for p in ("attachment_injury", "secure")
    ]
    assert trust == pytest.approx([0.05, 0.8])
