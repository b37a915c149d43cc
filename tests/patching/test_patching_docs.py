"""The code of docs/patching.md runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tests.patching.builders import small_transformer, two_runs
from torch import nn

from toulmin.patching import Graph

PAGE = Path(__file__).parents[2] / "docs" / "patching.md"


def test_the_pages_code_runs() -> None:
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    model = small_transformer()
    clean, counterfactual = two_runs()
    torch.manual_seed(0)
    module = SimpleNamespace(**{name: nn.Linear(4, 4) for name in ("left", "right", "key", "value", "out")})

    def feature(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x[..., :1]) * torch.ones(12, dtype=x.dtype)

    known: dict[str, Any] = {
        "model": model, "tokens": clean, "clean_tokens": clean, "counterfactual_tokens": counterfactual, "length": 6,
        "answer": 3, "feature_3": feature, "loss": lambda logits: logits[:, 1].sum(), "module": module,
        "x": torch.randn(3, 4), "other_x": torch.randn(3, 4),
    }  # fmt: skip
    for block in blocks:
        code = "\n".join(line[4:] for line in block.splitlines())
        split = "terms = {" in code
        graph = Graph.of(model, terms={"L0.mlp": ["f3", "error"]} if split else None)
        known["masks"] = np.random.default_rng(0).random((2, *graph.allowed.shape)) < 0.1
        exec(compile(code, str(PAGE), "exec"), known)
    assert known["output"].shape == (1, 3, 4)
    assert known["logits"].shape == (2, 3, 17)
    assert set(known["graph"].sources) >= {"embed", "L1.mlp"}
