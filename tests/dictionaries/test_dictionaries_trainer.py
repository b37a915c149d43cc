"""The trainer: insertions together and alone, micro-batches, resuming, processes, controls, dead features."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toulmin.dictionaries import (
    DictionaryConfig,
    Insertion,
    IteratorBatches,
    Objective,
    TrainingOptions,
    make_dictionary,
    train_dictionaries,
    train_on_activations,
)
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import RepeatedTokens
from toulmin.training import Checkpoint, IndexedBatches, PrintProgress, Schedule, token_batches

SCHEDULE = Schedule(6, 1e-2, "constant")


def tiny_model() -> Transformer:
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, d_mlp=32)
    return Transformer(config, torch.Generator().manual_seed(1)).double()


def batches(size: int = 6) -> IndexedBatches[Tensor]:
    return token_batches(RepeatedTokens(10, 23, shortest=2, longest=4), size)


def insertion(name: str, objective: Objective, sites: tuple[str, ...] = ("L1.resid_pre",), **more: Any) -> Insertion:
    options = {name: more.pop(name) for name in ("control", "lr_scale", "clip") if name in more}
    values = {"kind": "relu", "d_in": 16, "n_features": 40, **more}
    made = {site: make_dictionary(DictionaryConfig(**values), seed).double() for seed, site in enumerate(sites)}
    return Insertion(name, made, objective, **options)


def several() -> list[Insertion]:
    return [
        insertion("local", Objective(sparsity=0.1, local=1.0)),
        insertion("e2e", Objective(sparsity=0.1, kl=1.0, ce=0.1), lr_scale=0.5),
        insertion("down", Objective(downstream=1.0, kl=0.5), ("L0.resid_post", "L2.mlp_out"), kind="topk", k=4),
        insertion("coder", Objective(local=1.0, kl=1.0), ("L1.mlp",), kind="jumprelu", skip=True),
    ]


def weights(insertions: list[Insertion]) -> dict[str, Tensor]:
    return {
        f"{i.name}/{site}/{name}": value.clone()
        for i in insertions
        for site, d in i.dictionaries.items()
        for name, value in d.state_dict().items()
    }


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert float((value - theirs[name]).abs().max()) <= tolerance, name


def test_several_at_once_are_what_each_is_alone() -> None:
    model, together = tiny_model(), several()
    train_dictionaries(model, together, batches(), SCHEDULE)
    alone = several()
    for one in alone:
        train_dictionaries(model, [one], batches(), SCHEDULE)
    assert_equal(weights(together), weights(alone), 1e-12)
    started = weights(several())
    assert all(not torch.equal(value, started[name]) for name, value in weights(alone).items() if "W_dec" in name)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_micro_batches_give_the_gradient_of_one_batch() -> None:
    """Unequal ones too: 6 rows in 4 parts. KL and CE are means over tokens."""
    model, whole, parts = tiny_model(), several(), several()
    last = train_dictionaries(model, whole, batches(), SCHEDULE)
    divided = train_dictionaries(model, parts, batches(), SCHEDULE, options=TrainingOptions(micro_batches=4))
    assert_equal(weights(whole), weights(parts), 1e-9)
    assert last.keys() == divided.keys()
    assert last == pytest.approx(divided, rel=1e-6)
    with pytest.raises(FaultError, match="cannot be divided"):
        train_dictionaries(model, parts, batches(2), SCHEDULE, options=TrainingOptions(micro_batches=4))


def test_resumed_equals_uninterrupted_to_the_byte(tmp_path: Path) -> None:
    """With AuxK, resampling, BatchTopK's threshold and a soft-frozen decoder among what is restored."""

    def make() -> list[Insertion]:
        aux = Objective(local=1.0, kl=1.0, aux=0.1, dead_after=60)
        return [
            insertion("aux", aux, kind="batch_topk", k=1),
            insertion("soft", Objective(local=1.0, sparsity=0.1), control="soft_frozen_decoder"),
        ]

    model, options = tiny_model(), TrainingOptions(resample_every=2)

    def run(insertions: list[Insertion], steps: int, checkpoint: Checkpoint | None) -> dict[str, float]:
        schedule = Schedule(steps, 1e-1, "constant")
        return train_dictionaries(model, insertions, batches(), schedule, options=options, checkpoint=checkpoint)

    whole, first, second = make(), make(), make()
    uninterrupted = run(whole, 7, None)
    folder = Checkpoint(tmp_path, every=3)
    run(first, 3, folder)
    resumed = run(second, 7, folder)
    assert resumed == uninterrupted
    assert_equal(weights(second), weights(whole), 0.0)
    other = [insertion("aux", Objective(local=1.0, kl=1.0, aux=0.2, dead_after=60), kind="batch_topk", k=1)]
    with pytest.raises(FaultError, match="insertions"):
        run([*other, make()[1]], 9, folder)


@pytest.mark.parametrize("control", ["frozen_decoder", "frozen_encoder", "soft_frozen_decoder"])
def test_controls_hold_what_they_hold(control: str) -> None:
    model = tiny_model()
    made = insertion("x", Objective(local=1.0, sparsity=0.01), control=control)
    (dictionary,) = made.dictionaries.values()
    start = {name: p.detach().clone() for name, p in dictionary.named_parameters()}
    train_dictionaries(model, [made], batches(), Schedule(30, 5e-2, "constant"))
    moved = {name: not torch.equal(p, start[name]) for name, p in dictionary.named_parameters()}
    assert moved == {
        "W_enc": control != "frozen_encoder",
        "W_dec": control != "frozen_decoder",
        "b_enc": True,
        "b_dec": True,
    }
    assert all(p.requires_grad for p in dictionary.parameters())
    if control == "soft_frozen_decoder":
        cosines = nn.functional.cosine_similarity(dictionary.W_dec.detach(), start["W_dec"], dim=1)
        assert float(cosines.min()) == pytest.approx(0.8, abs=1e-9)
        free = insertion("x", Objective(local=1.0, sparsity=0.01))
        train_dictionaries(model, [free], batches(), Schedule(30, 5e-2, "constant"))
        (loose,) = free.dictionaries.values()
        assert float(nn.functional.cosine_similarity(loose.W_dec.detach(), start["W_dec"], dim=1).min()) < 0.79


def test_dead_features_are_resampled_to_inputs_that_are_reconstructed_badly() -> None:
    """Inputs in two clusters, and features that are all dead but one: the new ones point to the clusters."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(64, 16, dtype=torch.float64)
    x[:32, 3], x[32:, 7] = 5.0, 5.0
    x += 0.01 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    made = insertion("x", Objective(local=1.0, dead_after=100), ("activations",), n_features=20)
    (dictionary,) = made.dictionaries.values()
    with torch.no_grad():
        dictionary.b_enc.fill_(-100.0)
        dictionary.b_enc[0] = 1.0
    train_on_activations(
        [made], IndexedBatches(lambda _: x), Schedule(5, 1e-4, "constant"), options=TrainingOptions(resample_every=4)
    )
    near = dictionary.directions.detach()[1:, [3, 7]].abs().amax(1)
    assert float(near.min()) > 0.99
    assert float(dictionary.b_enc.detach()[1:].abs().max()) < 1e-3


def test_auxk_brings_dead_features_back() -> None:
    """Without it features that never fire get no gradient."""
    x = torch.randn(256, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alive = {}
    for coefficient in (0.0, 1.0):
        made = insertion(
            "x", Objective(local=1.0, aux=coefficient, dead_after=1), ("activations",), kind="topk", k=2, n_features=80
        )
        (dictionary,) = made.dictionaries.values()
        with torch.no_grad():
            dictionary.b_enc[40:] -= 1.0
        train_on_activations([made], IndexedBatches(lambda _: x), Schedule(60, 2e-2, "constant"))
        alive[coefficient] = int((dictionary.encode(x) > 0).any(0)[40:].sum())
    assert alive[0.0] < 10 < alive[1.0]


def test_activations_from_any_iterator(tmp_path: Path) -> None:
    """The same numbers as from a model's own activations; pairs train a transcoder; the position is resumed."""
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(20, 16, dtype=torch.float64, generator=generator) for _ in range(8)]
    pairs = [(x, torch.cat([x, -x], 1)) for x in data]

    def make() -> Insertion:
        return insertion("x", Objective(sparsity=0.1, local=1.0), ("activations",), d_out=32)

    whole, second = make(), make()
    stream = IteratorBatches(lambda: pairs)
    train_on_activations([whole], stream, SCHEDULE)
    assert stream.position() == {"given": 6}
    folder = Checkpoint(tmp_path, every=2)
    train_on_activations([make()], IteratorBatches(lambda: pairs), Schedule(2, 1e-2, "constant"), checkpoint=folder)
    train_on_activations([second], IteratorBatches(lambda: pairs), SCHEDULE, checkpoint=folder)
    assert_equal(weights([whole]), weights([second]), 0.0)
    with pytest.raises(FaultError, match="without a model"):
        train_on_activations([insertion("x", Objective(kl=1.0))], IteratorBatches(lambda: data), SCHEDULE)


def test_finetuning_rescales_kl_to_the_size_of_the_reconstruction_error() -> None:
    """Karvonen 2025: in every step the KL term is as large as the reconstruction term."""
    model = tiny_model()
    made = insertion("x", Objective(local=1.0, kl=1.0, balanced=True))
    last = train_dictionaries(model, [made], batches(), Schedule(1, 1e-3, "constant"))
    assert last["loss"] == pytest.approx(2 * last["x/local/L1.resid_pre"], rel=1e-9)
    assert last["x/kl"] != pytest.approx(last["x/local/L1.resid_pre"], rel=0.1)


def test_metrics_are_read_only_when_somebody_looks() -> None:
    """L0 is computed on steps that are reported, and is that of the codes."""
    seen: list[tuple[int, str]] = []
    model, made = tiny_model(), insertion("x", Objective(local=1.0, sparsity=0.1))
    progress = PrintProgress(every=4, report=lambda done, total, text: seen.append((done, text)))
    last = train_dictionaries(model, [made], batches(), SCHEDULE, callbacks=[progress])
    assert [done for done, _ in seen] == [4, 6]
    assert all("x/l0/L1.resid_pre" in text for _, text in seen)
    assert 0 < last["x/l0/L1.resid_pre"] < 40


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_alive_features_are_counted_over_a_window_of_training_tokens(micro_batches: int) -> None:
    """Batch i activates feature i mod 4 only, and feature 4 never is: two are alive in any window of two batches."""
    dictionary = make_dictionary(DictionaryConfig("relu", 5, 5))
    with torch.no_grad():
        dictionary.W_enc.copy_(torch.eye(5))
        dictionary.b_enc.fill_(-0.5)
    rows = IndexedBatches(lambda i: torch.eye(5)[i % 4].repeat(6, 1))
    made = Insertion("a", {"activations": dictionary}, Objective(local=1.0))
    found: list[float] = []

    class Alive:
        every = 1

        def on_start(self, state: object, steps: int) -> None: ...

        def on_step(self, state: object, metrics: Mapping[str, float]) -> None:
            found.append(metrics["a/alive/activations"])

        def on_end(self, state: object) -> None: ...

    options = TrainingOptions(micro_batches=micro_batches, alive_window=12)
    train_on_activations([made], rows, Schedule(6, 1e-9, "constant"), options=options, callbacks=[Alive()])
    assert found == [1, 2, 2, 2, 2, 2]


def test_faults_of_a_training_run_are_listed_together() -> None:
    model, one = tiny_model(), insertion("x", Objective(local=1.0))
    with pytest.raises(FaultError) as caught:
        train_dictionaries(model, [one, Insertion("x", one.dictionaries, one.objective)], batches(), SCHEDULE)
    assert len(caught.value.faults) == 2
    with pytest.raises(FaultError, match="nothing to train"):
        train_dictionaries(model, [], batches(), SCHEDULE)
    with pytest.raises(FaultError, match="gated"):
        insertion("x", Objective(local=1.0), kind="gated")


def test_bfloat16_computes_near_float32() -> None:
    """The dictionary's parameters stay in float32, the model and the matrix products are in bfloat16."""
    losses = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = tiny_model().to(dtype)
        made = insertion("x", Objective(local=1.0, kl=1.0))
        made = Insertion("x", {site: d.float() for site, d in made.dictionaries.items()}, made.objective)
        losses[dtype] = train_dictionaries(model, [made], batches(), SCHEDULE)["loss"]
        assert all(p.dtype == torch.float32 for d in made.dictionaries.values() for p in d.parameters())
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], rel=0.05)


PROCESS = """
import sys
import torch, torch.distributed
sys.path.insert(0, {tests!r})
from test_dictionaries_trainer import *
torch.distributed.init_process_group("gloo")
made = several() + [insertion("aux", Objective(local=1.0, aux=0.1, dead_after=60), kind="topk", k=1)]
options = TrainingOptions(resample_every=4)
last = train_dictionaries(tiny_model(), made, batches(), SCHEDULE, options=options, checkpoint=Checkpoint({folder!r}))
torch.save([weights(made), last], f"{folder}/rank{{torch.distributed.get_rank()}}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    """torchrun with two gloo processes, each with half of every batch, gives the weights of one process."""
    script = tmp_path / "process.py"
    script.write_text(PROCESS.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (first, _), (second, _) = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert_equal(first, second, 0.0)
    one = several()
    train_dictionaries(tiny_model(), one, batches(), SCHEDULE)
    assert_equal(weights(one), {name: value for name, value in first.items() if not name.startswith("aux")}, 1e-9)
