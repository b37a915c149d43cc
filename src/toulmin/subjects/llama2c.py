"""Checkpoints of llama2.c (version 0): seven integers, then float32 weights, one parameter of all layers at a time.

Layout: ``run.c`` of llama2.c, ``memory_map_weights``. RoPE turns neighbouring pairs of dimensions there.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.tensors import build_transformer
from toulmin.subjects.transformer import Transformer

_HEADER = struct.Struct("<7i")
_NEWER = 0x616B3432  # "ak42" opens versions 1 and 2


def load_llama2c(path: str | Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """A llama2.c checkpoint.

    :raises FaultError: (``subjects.llama2c``, exit code SUBJECT) where the header makes no sense or the size
        differs from
        what it implies.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _fault(path, error.strerror or str(error)) from None
    if len(data) < _HEADER.size:
        raise _fault(path, "cut off within the header")
    width, hidden, layers, heads, kv_heads, vocab, context = _HEADER.unpack_from(data)
    if width == _NEWER:
        raise _fault(path, "a checkpoint of version 1 or 2; only version 0 is supported")
    if min(width, hidden, layers, heads, kv_heads, abs(vocab), context) < 1 or width % heads:
        raise _fault(path, "the header makes no sense")
    try:
        config = TransformerConfig(
            n_layers=layers,
            d_model=width,
            n_heads=heads,
            d_head=width // heads,
            n_kv_heads=kv_heads,
            d_vocab=abs(vocab),
            n_ctx=context,
            d_mlp=hidden,
            positions="rotary",
            rotary_interleaved=True,
            norm="rms",
            activation="silu",
            gated=True,
            biases=(),
            tied=vocab > 0,
        )
    except FaultError as faulty:
        raise _fault(path, "; ".join(f"{fault.name}: {fault.message}" for fault in faulty.faults)) from None
    return build_transformer(config, _split(path, data, config), dtype=dtype, file=str(path))


def _split(path: Path, data: bytes, config: TransformerConfig) -> dict[str, Tensor]:
    layers, width, hidden, head = config.n_layers, config.d_model, config.d_mlp, config.d_head
    q_rows, kv_rows = config.n_heads * head, config.kv_heads * head
    shapes: dict[str, tuple[int, ...]] = {
        "W_E": (config.d_vocab, width),
        "norm1.w": (layers, width),
        "attn.W_Q": (layers, q_rows, width),
        "attn.W_K": (layers, kv_rows, width),
        "attn.W_V": (layers, kv_rows, width),
        "attn.W_O": (layers, width, q_rows),
        "norm2.w": (layers, width),
        "mlp.W_gate": (layers, hidden, width),
        "mlp.W_out": (layers, width, hidden),
        "mlp.W_in": (layers, hidden, width),
        "final_norm.w": (width,),
        "cosines": (config.n_ctx, head // 2),
        "sines": (config.n_ctx, head // 2),
    }
    if not config.tied:
        shapes["_W_U"] = (config.d_vocab, width)
    expected = _HEADER.size + 4 * sum(int(np.prod(shape, dtype=object)) for shape in shapes.values())
    if len(data) != expected:
        raise _fault(path, f"is {len(data)} bytes, the header implies {expected}")
    state: dict[str, Tensor] = {}
    start = _HEADER.size
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        tensor = torch.from_numpy(np.frombuffer(data, "<f4", count, start).astype(np.float32).reshape(shape))
        start += 4 * count
        if name == "_W_U":
            state[name] = tensor.T
        elif name in ("W_E", "final_norm.w"):
            state[name] = tensor
        elif name not in ("cosines", "sines"):
            state |= {f"layers.{layer}.{name}": _factor(name, tensor[layer], head) for layer in range(layers)}
    return state


def _factor(name: str, tensor: Tensor, head: int) -> Tensor:
    if name in ("attn.W_Q", "attn.W_K", "attn.W_V"):
        return tensor.unflatten(0, (-1, head)).permute(0, 2, 1)
    if name == "attn.W_O":
        return tensor.T.unflatten(0, (-1, head))
    return tensor.T if tensor.ndim == 2 else tensor


def _fault(path: Path, message: str) -> FaultError:
    return FaultError(Fault("subjects.llama2c", message, str(path)), ExitCode.SUBJECT)
