"""What happened, by name: labelled arrays in memory, a DataTree on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attach_ai.agent.planning import policies
from attach_ai.errors import InputError
from attach_ai.model.layout import Layout
from attach_ai.simulation.rollout import Record
from attach_ai.simulation.schedule import Days

if TYPE_CHECKING:
    import xarray as xr


class Trajectory:
    """The record of one mind (or of many: a leading `mind` dimension), with names.

    `tree` is an `xarray.DataTree` with the groups belief, held (probability by factor),
    prior and counts (learned tables, by session boundary; of a B, `_before` is one step earlier),
    outcome, action (level indices, with the names in the attribute `levels`), policy (q_pi, efe and
    its parts, in nats, by policy), vfe (vfe, complexity, accuracy, effort, log_p, in nats), world
    (true levels), ledger where one was kept, and affect (charge in nats, beta, valence) where there
    is one.
    """

    def __init__(self, tree: xr.DataTree):
        self.tree = tree

    def belief(self, factor: str, *, held: bool = False) -> xr.DataArray:
        """P(level) of a factor after each outcome; dimensions ([mind,] session, step, level).

        `held=True`: with the practice's operators applied. Raises `InputError` for an unknown name.
        """
        return self._get("held" if held else "belief", factor)

    def prior(self, factor: str) -> xr.DataArray:
        """P(level) with which each session starts; one more boundary than sessions."""
        return self._get("prior", factor)

    def outcome(self, modality: str) -> xr.DataArray:
        """Outcome levels, as indices into its attribute `levels`."""
        return self._get("outcome", modality)

    def action(self, name: str) -> xr.DataArray:
        """Chosen levels, as indices into its attribute `levels`."""
        return self._get("action", name)

    def _get(self, group: str, name: str) -> xr.DataArray:
        data: Any = self.tree[group].to_dataset() if group in self.tree.children else {}
        if name not in data:
            raise InputError(
                f"no '{name}' here; there are {', '.join(map(str, data)) or 'none'}", group
            )
        return data[name]

    def save(self, path: str | Path) -> Path:
        """Write NetCDF, through a temporary file, so that nothing half-written is left.

        Raises `InputError` for a folder that is not there and a file that cannot be written.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"the folder '{path.parent}' does not exist", str(path))
        if path.is_dir():
            raise InputError("is a folder; expected the name of a file", str(path))
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.nc")
        try:
            self.tree.to_netcdf(temporary, engine="h5netcdf")
            temporary.replace(path)
        except OSError as error:
            raise InputError(
                f"could not be written: {error.strerror or error}", str(path)
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read what `save` wrote; `InputError` for a file that is missing or something else."""
        import xarray as xr

        if not Path(path).is_file():
            raise InputError("no such file", str(path))
        try:
            with xr.open_datatree(path, engine="h5netcdf") as tree:
                return cls(tree.load())
        except OSError:
            raise InputError("not a NetCDF file", str(path)) from None


def label(
    record: Record,
    layout: Layout,
    days: Days,
    *,
    horizon: int,
    phases: list[str],
    attrs: dict[str, Any] | None = None,
) -> Trajectory:
    """Give a record its names. `phases`: the practice's phase at each step."""
    import xarray as xr

    decision = record.decision
    many = np.ndim(decision.log_p) == 3
    lead = ("mind",) if many else ()
    time = (*lead, "session", "step")
    n_sessions, n_steps = np.shape(decision.log_p)[-2:]
    base = {
        "session": np.arange(1, n_sessions + 1),
        "step": np.arange(1, n_steps + 1),
        "practised": ("session", np.asarray(days.practised) > 0),
        "phase": ("step", phases),
    }

    def by_factor(arrays: Any) -> xr.Dataset:
        variables, coords = {}, dict(base)
        for factor, values in zip(layout.factors, arrays, strict=True):
            axis = f"{factor.name}_level"
            coords[axis] = list(factor.levels)
            variables[factor.name] = ((*time, axis), np.asarray(values), {"units": "probability"})
        return xr.Dataset(variables, coords)

    def indices(axes: Any, values: Any) -> xr.Dataset:
        return xr.Dataset(
            {
                x.name: (
                    time,
                    np.asarray(values[..., i]).astype(np.int8),
                    {"levels": list(x.levels)},
                )
                for i, x in enumerate(axes)
            },
            base,
        )

    def nats(**values: Any) -> xr.Dataset:
        return xr.Dataset(
            {k: (time, np.asarray(v), {"units": "nats"}) for k, v in values.items()}, base
        )

    groups: dict[str, xr.Dataset] = {
        "belief": by_factor(decision.posterior),
        "held": by_factor(decision.held),
        "outcome": indices(layout.modalities, record.outcome),
        "action": indices(layout.actions, np.asarray(layout.choices)[np.asarray(decision.choice)]),
        "vfe": nats(
            vfe=decision.evidence.vfe,
            complexity=decision.evidence.complexity,
            accuracy=decision.evidence.accuracy,
            effort=decision.effort,
            log_p=decision.log_p,
        ),
    }
    plan = decision.plan
    n_policies = np.shape(plan.q_pi)[-1]
    looked = horizon if n_policies == len(layout.choices) ** horizon else 1
    names = [" > ".join(_choice_name(layout, u) for u in pi) for pi in policies(layout, looked)]
    groups["policy"] = xr.Dataset(
        {
            k: ((*time, "policy"), np.asarray(getattr(plan, k)), {"units": "nats"})
            for k in ("q_pi", "efe", "risk", "ambiguity", "pragmatic", "epistemic", "novelty")
        },
        {**base, "policy": names},
    )
    groups["policy"]["q_pi"].attrs["units"] = "probability"
    if record.levels is not None:
        groups["world"] = indices(layout.factors, record.levels)
    if decision.feeling is not None:
        felt = decision.feeling
        groups["affect"] = nats(charge=felt.charge, beta=felt.beta, valence=felt.valence)
        groups["affect"]["beta"].attrs["units"] = "1 / policy precision"
        groups["affect"]["valence"].attrs["units"] = "probability (positive)"
    if decision.ledger is not None:
        keys = ("expected", "body", "cues", "field")
        groups["ledger"] = nats(**{k: getattr(decision.ledger, k) for k in keys})
    prior, counts = {}, {}
    boundary = {"boundary": np.arange(n_sessions + 1)}
    of_counts, of_prior = dict(boundary), dict(boundary)
    for name in record.counts:
        path = np.concatenate(
            [
                np.asarray(record.counts[name]),
                np.expand_dims(np.asarray(record.final_counts[name]), len(lead)),
            ],
            axis=len(lead),
        )
        axes = _axes(layout, name)
        dims = (*lead, "boundary", *axes)
        counts[name.replace(".", "_")] = (dims, path, {"units": "observations"})
        of_counts |= axes
        if name[0] == "D":
            mean = path / path.sum(-1, keepdims=True)
            prior[name[2:]] = (dims, mean, {"units": "probability"})
            of_prior |= axes
    if counts:
        groups["counts"] = xr.Dataset(counts, of_counts)
    if prior:
        groups["prior"] = xr.Dataset(prior, of_prior)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(attrs or {})
    return Trajectory(tree)


def _axes(layout: Layout, name: str) -> dict[str, Any]:
    """Dimensions of a learned table with their levels, in the order of its axes."""
    table, own = name.split(".")
    if table == "A":
        modality = layout.modalities[layout.modality(own)]
        given = [layout.factors[p] for p in modality.parents]
        axes = {f"{own}_outcome": modality.levels, **{f"{f.name}_level": f.levels for f in given}}
    elif table == "E":
        axes = {f"{own}_level": layout.actions[layout.action(own)].levels}
    else:
        factor = layout.factors[layout.factor(own)]
        axes = {f"{own}_level": factor.levels}
        if table == "B":
            axes |= {
                f"{f.name}_before": f.levels for f in (layout.factors[p] for p in factor.parents)
            }
            axes |= {
                f"{a.name}_level": a.levels for a in (layout.actions[i] for i in factor.actions)
            }
    return {axis: list(levels) for axis, levels in axes.items()}


def _choice_name(layout: Layout, u: int) -> str:
    return "+".join(a.levels[i] for a, i in zip(layout.actions, layout.choices[u], strict=True))
