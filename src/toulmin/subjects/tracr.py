"""Programs compiled by Tracr, as plain arrays: a bidirectional transformer with ReLU MLPs and no norms."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.tensors import build_transformer, read_json, read_npz
from toulmin.subjects.transformer import Transformer


def load_tracr(path: str | Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """A compiled program ``NAME.npz`` beside ``NAME.json`` (which says whether it is causal).

    The recorded ``tokens`` and ``logits`` in the archive are left alone.

    :raises FaultError: (exit code SUBJECT) for every array that is missing or misshapen.
    """
    path = Path(path)
    arrays = read_npz(path)
    settings = read_json(path.with_suffix(".json"))
    first = {"W_E": 2, "W_pos": 2, "W_U": 2, "L0.W_Q": 3, "L0.W_in": 2}
    faults = [
        Fault("subjects.tensor_missing", f"missing, of {axes} axes", str(path), name=name)
        for name, axes in first.items()
        if name not in arrays or arrays[name].ndim != axes
    ]
    if not isinstance(settings.get("causal"), bool):
        faults.append(
            Fault("subjects.setting", "expected true or false", str(path.with_suffix(".json")), name="causal")
        )
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    heads, width, head = arrays["L0.W_Q"].shape
    config = TransformerConfig(
        n_layers=1 + max(int(name[1 : name.index(".")]) for name in arrays if name[0] == "L" and name.endswith(".W_Q")),
        d_model=width,
        n_heads=heads,
        d_head=head,
        d_vocab=arrays["W_E"].shape[0],
        d_vocab_out=arrays["W_U"].shape[1],
        n_ctx=arrays["W_pos"].shape[0],
        d_mlp=arrays["L0.W_in"].shape[1],
        norm="none",
        activation="relu",
        causal=settings["causal"] is True,
        biases=("q", "k", "v", "o", "mlp"),
    )
    state: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if name in ("tokens", "logits"):
            continue
        layer, _, leaf = name.partition(".")
        part = "mlp" if leaf.endswith(("_in", "_out")) else "attn"
        ours = f"layers.{layer[1:]}.{part}.{leaf}" if leaf else {"W_U": "_W_U"}.get(name, name)
        state[ours] = array
    return build_transformer(config, state, dtype=dtype, file=str(path))
