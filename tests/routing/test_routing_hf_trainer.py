"""The Trainer of transformers with routes against a plain loop with the same ones."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, TrainingArguments

from toulmin.faults import FaultError
from toulmin.routing import Route, RoutePlan, Router
from toulmin.routing.hf_trainer import RoutedTrainer

pytestmark = pytest.mark.filterwarnings("ignore")
ACTIVATION = RoutePlan([Route("forget", at="transformer.h.*.mlp.act", dims=slice(24, 32), outside=-0.75)])
ROWS = 8


def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=11, n_positions=8, n_embd=16, n_layer=2, n_head=2, n_inner=32, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def rows(routed: bool = True) -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(11, (ROWS, 8), generator=torch.Generator().manual_seed(0))
    return [
        {"input_ids": row, "labels": row} | ({"route": torch.tensor(i % 2 - 1)} if routed else {})
        for i, row in enumerate(ids)
    ]


def trainer(
    net: GPT2LMHeadModel,
    folder: Path,
    data: list[dict[str, torch.Tensor]],
    plan: RoutePlan = ACTIVATION,
    block: bool = False,
    **changed: Any,
) -> RoutedTrainer:
    settings: dict[str, Any] = {"optim": "sgd", **changed}
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=4, max_steps=2, learning_rate=0.1,
        lr_scheduler_type="constant", max_grad_norm=0.0, remove_unused_columns=False, report_to=[], use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True, **settings,
    )  # fmt: skip
    return RoutedTrainer(plan=plan, block=block, model=net, args=arguments, train_dataset=data)


def test_the_trainer_moves_the_weights_as_a_plain_loop_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows()
    by_trainer = model()
    unrouted = copy.deepcopy(by_trainer)
    by_hand = copy.deepcopy(by_trainer)
    seen: list[dict[str, torch.Tensor]] = []
    routed = trainer(by_trainer, tmp_path, data)
    inner = routed.compute_loss

    def noted(net: Any, inputs: dict[str, Any], *args: Any, **settings: Any) -> torch.Tensor:
        seen.append({**inputs, "items": settings["num_items_in_batch"]})
        return inner(net, inputs, *args, **settings)

    monkeypatch.setattr(routed, "compute_loss", noted)
    routed.train()
    assert len(seen) == 2
    for net, plan in ((by_hand, ACTIVATION), (unrouted, None)):
        net.train()
        router = None if plan is None else Router(net, plan)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for batch in seen:
            optimizer.zero_grad()
            with nullcontext() if router is None else router(labels=batch["route"]):
                given = {name: batch[name] for name in ("input_ids", "labels")}
                loss = net(**given, num_items_in_batch=batch["items"]).loss
            loss.backward()
            optimizer.step()
    for (name, a), b in zip(by_trainer.named_parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7), name
    first = "transformer.h.1.mlp.c_fc.weight"
    assert not torch.allclose(by_trainer.state_dict()[first], unrouted.state_dict()[first], atol=1e-6)


@pytest.mark.parametrize("block", [True, False])
def test_weight_decay_moves_what_is_excluded_unless_updates_are_blocked(tmp_path: Path, block: bool) -> None:
    net = model()
    before = net.state_dict()["transformer.wte.weight"].clone()
    plan = RoutePlan([Route("forget", params="transformer.h.*.mlp", rows_or_cols=slice(24, 32), kind="parameter")])
    every = [{**row, "route": torch.tensor(0)} for row in rows()]
    trainer(net, tmp_path, every, plan, block, optim="adamw_torch", weight_decay=0.5).train()
    assert torch.equal(net.state_dict()["transformer.wte.weight"], before) == block


def test_a_batch_without_labels_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="remove_unused_columns"):
        trainer(model(), tmp_path, rows(routed=False)).train()


def test_evaluation_needs_no_labels(tmp_path: Path) -> None:
    found = trainer(model(), tmp_path, rows()).evaluate(rows(routed=False))  # type: ignore[arg-type]
    assert found["eval_loss"] > 0
