"""Names in the tree of a fit as a person reads them."""

from __future__ import annotations

import re

from attach_ai.plot.style import words

# What a number of each site is, where it is about something.
SITES = {
    "mean": "mean",
    "population": "mean, on its own scale",
    "spread": "spread between people",
    "residual": "residual spread",
    "wording": "wording spread",
    "cluster_spread": "spread between clusters",
}
# What is said before a reading that is a probability; `prior` is of before a step's outcomes.
KINDS = {
    "now": "",
    "window": "",
    "cond": "",
    "policy": "",
    "prior": "prior ",
    "predictive": "next ",
}
NUMBERED = re.compile(r"\b([a-z_]+\[[^\]]+\])")


def plain(name: str) -> str:
    """A dotted name as a person reads it: "agents.benevolent" is "agents benevolent"."""
    return words(name.replace(".", " "))


def called(label: str) -> str:
    """A number of the population as a person reads it: "effect[a, b]" is "a by b"."""
    site, _, rest = label.partition("[")
    of = [plain(part) for part in rest.removesuffix("]").split(", ")] if rest else []
    if site == "effect" and len(of) == 2:
        return f"{of[0]} by {of[1]}"
    if site == "cluster" and len(of) == 2:
        return f"{of[1]}, difference {of[0]} between clusters"
    if of:
        return f"{', '.join(of)}: {SITES.get(site, words(site))}"
    return plain(site)


def spaced(label: str) -> str:
    """The same of "effect a b", as recovery and calibration write it."""
    site, _, rest = label.partition(" ")
    known = site in SITES or site in ("effect", "cluster")
    return called(f"{site}[{rest.replace(' ', ', ')}]") if known and rest else plain(label)


def told(sentence: str) -> str:
    """A sentence in which each number of the population is `called` by its name."""
    return NUMBERED.sub(lambda m: called(m[1]), sentence)


def reading(label: str) -> str:
    """A reading of beliefs as a person reads it, from `Functional.label`.

    "prior law.unstable | agents = benevolent" is "prior P(law unstable | agents benevolent)". A
    name that is not of that form comes back `plain`.
    """
    turned = label.startswith("-")
    kind, _, rest = label.removeprefix("-").partition(" ")
    what, _, window = rest.partition(", ") if " d" in rest.rpartition(", ")[2] else (rest, "", "")
    event, _, given = what.partition(" | ")
    event = plain(event).replace(" : ", " rather than ").replace("|", " or ")
    if given:
        event += f" | {plain(given).replace(' = ', ' ').replace('|', ' or ')}"
    over = f", over {window}" if window else ""
    if kind == "entropy":
        said = f"entropy of {event.removeprefix('of ')}{over}, nats"
    elif kind == "freq":
        said = f"{event}, share of {window or 'days'}"
    elif kind in KINDS and "valence" in event:
        said = f"expected {event}{over}"
    elif kind in KINDS:
        return f"{'1 − ' if turned else ''}{KINDS[kind]}P({event}){over}"
    else:
        return plain(label)
    return f"less {said}" if turned else said
