"""Random arguments as plain data, so that a brute force shares nothing with the engine."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health

LEAF_STATES = (Health.REFUTED, Health.UNSUPPORTED, Health.SUPPORTED)


@dataclass
class Spec:
    """A random argument as plain data, so that the brute force shares nothing with the engine."""

    children: dict[str, list[str]] = field(default_factory=dict)
    modes: dict[str, str | int] = field(default_factory=dict)
    assumed: dict[str, list[str]] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    leaves: dict[str, Health] = field(default_factory=dict)
    attacks: dict[str, list[str]] = field(default_factory=dict)  # defeater -> targets
    kinds: dict[str, str] = field(default_factory=dict)

    def argument(self, order: list[str] | None = None, rename=lambda name: name) -> Argument:
        r = rename
        vertices: dict[str, Vertex] = {}
        names = [*self.children, *self.leaves, *{a for s in self.assumed.values() for a in s}, *self.attacks]
        for name in order or list(dict.fromkeys(names)):
            if name in self.attacks:
                vertices[r(name)] = Vertex(
                    r(name), "defeater", tuple(map(r, self.children.get(name, ()))), kind=self.kinds[name]
                )
            elif name in self.leaves:
                vertices[r(name)] = Vertex(r(name), "evidence", base=self.leaves[name])
            elif name in self.children:
                vertices[r(name)] = Vertex(
                    r(name), "goal", tuple(map(r, self.children[name])), self.modes.get(name, "all"),
                    tuple(map(r, self.assumed.get(name, ()))), undeveloped=name in self.marks,
                )  # fmt: skip
            else:
                vertices[r(name)] = Vertex(r(name), "assumption")
        for defeater, targets in self.attacks.items():
            for target in targets:
                vertices[r(target)].attackers.append(r(defeater))
        return Argument(vertices, r("g0"))


def random_spec(seed: int, *, goals: int = 6, leaves: int = 4, defeaters: int = 0) -> Spec:
    rng = random.Random(seed)
    spec = Spec()
    for i in range(leaves):
        spec.leaves[f"e{i}"] = rng.choice(LEAF_STATES)
    for i in reversed(range(goals)):
        below = [f"g{j}" for j in range(i + 1, goals)] + list(spec.leaves)
        spec.children[f"g{i}"] = rng.sample(below, min(len(below), rng.randint(0 if i else 1, 3)))
        n = len(spec.children[f"g{i}"])
        spec.modes[f"g{i}"] = rng.choice(["all", "any", rng.randint(1, max(1, n))])
        if rng.random() < 0.2:
            spec.assumed[f"g{i}"] = [rng.choice(["a0", "a1"])]
        if rng.random() < 0.1 or not n:
            spec.marks.add(f"g{i}")
    for i in range(defeaters):
        targets = [*spec.children, *spec.leaves, *(f"d{j}" for j in range(defeaters))]
        spec.attacks[f"d{i}"] = rng.sample(targets, rng.randint(1, 2))
        spec.kinds[f"d{i}"] = rng.choice(["rebut", "undercut"])
        if any(target.startswith("e") for target in spec.attacks[f"d{i}"]):
            spec.kinds[f"d{i}"] = "undercut"  # evidence is not rebutted
    for i in range(defeaters):
        if rng.random() < 0.6:
            spec.children[f"d{i}"] = rng.sample([*(f"g{j}" for j in range(1, goals)), *spec.leaves], 1)
    return spec
