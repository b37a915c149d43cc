"""Models that are no Transformers as graphs: an MLP, an autoencoder, a user's module, against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from tests.patching.builders import close
from torch import Tensor, nn

from toulmin.faults import FaultError
from toulmin.patching import (
    Computation,
    Dag,
    Graph,
    Link,
    ModelStage,
    PositionClasses,
    ScalarGraph,
    edge_gradients,
    refine,
    run_circuits,
    run_paths,
    source_values,
)
from toulmin.patching.models import Model
from toulmin.subjects import ConvAutoencoder, Mlp


class Branches(nn.Module):
    """A user's module: two inputs of different sizes, branches that meet in a product, and a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.left, self.right = nn.Linear(5, 6), nn.Linear(3, 6)
        self.key, self.value, self.out = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 2)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.tanh(self.left(x[:, :5])), torch.relu(self.right(x[:, 5:]))
        product = self.key(a + b).sigmoid() * self.value(a + b)
        return self.out(product + self.value(b))

    def computation(self) -> Computation:
        def gate(key: Tensor, value: Tensor) -> Tensor:
            return self.key(key).sigmoid() * self.value(value)

        return Computation.of_stages(
            {"wide": lambda x: x[:, :5], "narrow": lambda x: x[:, 5:]},
            [
                ModelStage("a", ["wide"], lambda x: torch.tanh(self.left(x))),
                ModelStage("b", ["narrow"], lambda x: torch.relu(self.right(x))),
                ModelStage("product", ["a", "b"], gate, inputs=["key", "value"]),
                ModelStage("skip", ["b"], self.value),
                ModelStage("output", ["product", "skip"], self.out, sources=()),
            ],
        )


def models() -> dict[str, tuple[Model, Callable[[Tensor], Tensor], tuple[int, ...]]]:
    """By name: what is patched, the plain forward pass, and the shape of an input."""
    mlp, branches = Mlp([4, 5, 3, 2], activation="gelu").double(), Branches()
    autoencoder = ConvAutoencoder(size=8, width=2, code=3).double()
    return {
        "mlp": (mlp, mlp, (4,)),
        "autoencoder": (autoencoder, autoencoder, (1, 8, 8)),
        "user": (branches.computation(), branches, (8,)),
    }


def inputs_of(shape: Sequence[int], batch: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(batch, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return first, second


def by_hand(computation: Computation, x: Tensor, values: Sequence[Tensor], mask: np.ndarray) -> Tensor:
    """One circuit from the definition: stage by stage, every input the sum of what its edges carry."""
    graph = computation.graph
    written = dict(zip(graph.inputs, computation.start(x), strict=True))
    receiver = 0
    for stage, kernel in zip(graph.stages, computation.kernels, strict=True):
        reads = []
        for _ in stage.inputs:
            terms = [
                (1 - mask[number, receiver]) * written[name] + mask[number, receiver] * values[number]
                for number, name in enumerate(graph.sources)
                if name in stage.reads
            ]
            reads.append(sum(terms[1:], terms[0]))
            receiver += 1
        assert kernel.function is not None
        made = kernel.function(*reads)
        if not stage.sources:
            assert isinstance(made, Tensor)
            return made
        parts = [made] if isinstance(made, Tensor) else made
        written |= dict(zip(stage.sources, parts, strict=True))
    raise AssertionError


@pytest.mark.parametrize("name", models())
def test_plain_runs_are_the_models(name: str) -> None:
    model, forward, shape = models()[name]
    clean, counterfactual = inputs_of(shape)
    run = source_values(model, counterfactual)
    close(run.logits, forward(counterfactual))
    graph = run.graph
    assert Graph.from_json(graph.to_json()) == graph
    masks = np.stack([np.zeros(graph.allowed.shape, dtype=bool), graph.allowed])
    nothing, everything = run_circuits(model, clean, run, masks)
    close(nothing, forward(clean))
    close(everything, forward(counterfactual))
    close(run_circuits(model, clean, run, masks.astype(float))[1], forward(counterfactual))


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_circuits_against_the_definition(name: str, share: float) -> None:
    model, _, shape = models()[name]
    clean, counterfactual = inputs_of(shape)
    run = source_values(model, counterfactual)
    computation, graph = run.computation, run.graph
    generator = np.random.default_rng(0)
    masks = generator.random((5, *graph.allowed.shape)) < share
    halved = [0.5 * value for value in run.all_values]
    for given, values in ((run, run.all_values), (halved, halved)):
        found = run_circuits(model, clean, given, masks)
        for row, mask in zip(found, masks, strict=True):
            close(row, by_hand(computation, clean, values, mask.astype(float)))
        close(run_circuits(model, clean, values, masks.astype(float)), found)
        close(run_circuits(model, clean, given, masks, max_bytes=50_000), found)
    real = generator.random((2, *graph.allowed.shape))
    for row, mask in zip(run_circuits(model, clean, halved, real), real, strict=True):
        close(row, by_hand(computation, clean, halved, mask))


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("mix", [0.0, 0.3])
def test_edge_gradients_are_those_of_the_masks(name: str, mix: float) -> None:
    model, _, shape = models()[name]
    clean, counterfactual = inputs_of(shape)
    values = [value.detach() for value in source_values(model, counterfactual).all_values]
    graph = source_values(model, clean).graph
    masks = torch.full((1, *graph.allowed.shape), mix, dtype=torch.float64, requires_grad=True)

    def loss(output: Tensor) -> Tensor:
        return (output**2).sum()

    loss(run_circuits(model, clean, values, masks)[0]).backward()
    assert masks.grad is not None
    found = edge_gradients(model, clean, loss, values=values, mix=mix)
    close(found.table, masks.grad[0] * torch.from_numpy(graph.allowed), 1e-11)
    assert float(found.table.abs().sum()) > 0


def test_path_sets_of_a_users_module_against_the_scalar_executor() -> None:
    """All sets of the five paths through a module: the evaluator and the reference executor over arbitrary graphs."""
    module = Branches()
    clean, counterfactual = inputs_of((8,))
    functions = {
        "a": lambda x: torch.tanh(module.left(x)),
        "b": lambda x: torch.relu(module.right(x)),
        "product": lambda ka, kb, va, vb: module.key(ka + kb).sigmoid() * module.value(va + vb),
        "skip": module.value,
        "output": lambda p, s: module.out(p + s),
    }
    senders = {"a": ["wide"], "b": ["narrow"], "skip": ["b"], "output": ["product", "skip"]}
    scalar = ScalarGraph(functions, senders | {"product": ["a", "b", "a", "b"]}, "output")
    computation = module.computation()
    dag = refine(computation.graph, PositionClasses.uniform(1))

    def in_order(of: Dag, skip: int) -> list[tuple[Link, ...]]:
        """Paths sorted by the places of their links among the in-edges of the nodes; both graphs have the same."""
        places = {link: number for links in of.in_links.values() for number, link in enumerate(links)}
        return sorted(of.all_paths().paths(), key=lambda path: [places[link] for link in path[skip:]])

    ours, theirs = in_order(dag, 1), in_order(scalar.dag, 0)
    assert len(ours) == len(theirs) == 5
    parts = [{"wide": x[:, :5], "narrow": x[:, 5:]} for x in (clean, counterfactual)]
    chosen = list(itertools.product([False, True], repeat=5))
    sets = [dag.of_paths(itertools.compress(ours, some)) for some in chosen]
    found = run_paths(computation, sets, clean, counterfactual)
    for row, some in zip(found, chosen, strict=True):
        close(row, scalar.patched(scalar.dag.of_paths(itertools.compress(theirs, some)), *parts))


def test_a_users_sources_split_into_terms() -> None:
    """A subspace of a branch and what is left of it: patching the subspace alone, against the module written out."""
    module = Branches()
    clean, counterfactual = inputs_of((8,))
    basis = torch.linalg.qr(torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(9)))[0]
    terms = {"a": {"in": lambda x: x @ basis @ basis.T, "out": lambda x: x - x @ basis @ basis.T}}
    split = module.computation().split(terms)
    run = source_values(split, counterfactual)
    assert split.graph.sources == ("wide", "narrow", "a:in", "a:out", "b", "product", "skip")
    mask = split.graph.mask_from_edges([split.graph.edge_index("a:in->value")])[None]
    a, b = torch.tanh(module.left(clean[:, :5])), torch.relu(module.right(clean[:, 5:]))
    other = torch.tanh(module.left(counterfactual[:, :5]))
    value = module.value(a + (other - a) @ basis @ basis.T + b)
    expected = module.out(module.key(a + b).sigmoid() * value + module.value(b))
    for given in (mask, mask.astype(float)):
        close(run_circuits(split, clean, run, given)[0], expected)


def test_a_mask_of_a_small_mlp_by_hand() -> None:
    """One hidden unit keeps its clean value for the output, the other carries the counterfactual's."""
    model = Mlp([2, 2, 1]).double()
    clean, counterfactual = inputs_of((2,), batch=1)
    hidden = [torch.relu(model.layers[0](x))[0] for x in (clean, counterfactual)]
    run = source_values(model, counterfactual)
    mask = run.graph.mask_from_edges([run.graph.edge_index("L0.1->output")])[None]
    expected = model.layers[1](torch.stack([hidden[0][0], hidden[1][1]]))
    close(run_circuits(model, clean, run, mask)[0, 0], expected)
    assert run.graph.sources == ("x.0", "x.1", "L0.0", "L0.1")
    assert run.graph.n_edges == 6


def test_bad_stages_and_values_are_refused() -> None:
    model = Mlp([2, 3, 1]).double()
    clean, counterfactual = inputs_of((2,))
    values = source_values(model, counterfactual).all_values
    graph = source_values(model, clean).graph
    mask = np.zeros((1, *graph.allowed.shape), dtype=bool)
    with pytest.raises(FaultError, match="values of 2 sources are given for 5 sources"):
        run_circuits(model, clean, values[:2], mask)
    with pytest.raises(FaultError, match=r"patching\.nan"):
        run_circuits(model, clean, [value * torch.nan for value in values], mask)
    with pytest.raises(FaultError, match="only a Transformer's output"):
        run_circuits(model, clean, values, mask, scored=2)
    with pytest.raises(FaultError, match="those of Transformers' components"):
        edge_gradients(model, clean, torch.sum, values=values, rules="relp")
    with pytest.raises(FaultError, match="a Linear has no graph of its own"):
        run_circuits(nn.Linear(2, 3), clean, values, mask)  # type: ignore[arg-type]
    with pytest.raises(FaultError, match="differ in shape"):
        run_paths(model, [refine(graph, PositionClasses.uniform(1)).all_paths()], clean, counterfactual[:, :1])

    def stages(compute: Callable[..., object], sources: Sequence[str]) -> Computation:
        first = ModelStage("a", ["x"], compute, sources=sources)  # type: ignore[arg-type]
        return Computation.of_stages({"x": lambda x: x}, [first, ModelStage("y", ["a"], lambda x: x, sources=())])

    for compute, sources, message in (
        (lambda x: [x], ["a", "b"], "must give 2 tensors of one shape"),
        (lambda x: (x, x[:, :1]), ["a", "b"], "must give 2 tensors of one shape"),
        (lambda x: x, ["a", "b"], "must give 2 tensors of one shape"),
        (lambda x: [x], ["a"], "compute gave list where one tensor is wanted"),
    ):
        with pytest.raises(FaultError, match=message):
            _ = source_values(stages(compute, sources), clean).logits
    with pytest.raises(FaultError, match=r"\[z\]: stage y reads what no earlier stage writes"):
        Computation.of_stages({"x": lambda x: x}, [ModelStage("y", ["z"], lambda x: x, sources=())])
