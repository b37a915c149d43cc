"""Live HookedTransformers of ten architectures against our reading of them: largest difference of a logit.

    PYTHONPATH=src PEER/bin/python benchmarks/peers/transformer_lens/agreement.py

Needs the environment of requirements.txt. Every parameter is random, biases and norms too. Exits with 1 above 1e-5.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

from toulmin.subjects.transformer_lens import from_transformer_lens

ROTARY: dict[str, Any] = {"positional_embedding_type": "rotary"}
CASES: dict[str, dict[str, Any]] = {
    "LayerNorm": {"act_fn": "gelu_new", "normalization_type": "LN"},
    "folded LayerNorm": {"act_fn": "gelu", "normalization_type": "LNPre"},
    "shortformer": {"attn_only": True, "normalization_type": "LN", "positional_embedding_type": "shortformer"},
    "bidirectional": {"act_fn": "relu", "normalization_type": None, "attention_dir": "bidirectional"},
    "rotary, gated, grouped": {
        **ROTARY,
        "act_fn": "silu",
        "normalization_type": "RMS",
        "gated_mlp": True,
        "n_key_value_heads": 2,
        "rotary_dim": 8,
    },
    "rotary in pairs": {
        **ROTARY,
        "act_fn": "silu",
        "normalization_type": "RMSPre",
        "rotary_dim": 4,
        "rotary_adjacent_pairs": True,
    },
    "parallel": {**ROTARY, "act_fn": "gelu", "normalization_type": "LN", "rotary_dim": 8, "parallel_attn_mlp": True},
    "ALiBi": {"act_fn": "gelu", "normalization_type": "LN", "positional_embedding_type": "alibi"},
    "local": {
        "act_fn": "gelu_new",
        "normalization_type": "LN",
        "use_local_attn": True,
        "window_size": 3,
        "attn_types": ["local", "global"],
        "use_attn_scale": False,
    },
    "caps and post-norms": {
        "act_fn": "gelu_new",
        "normalization_type": "RMS",
        "attn_scores_soft_cap": 2.0,
        "output_logits_soft_cap": 3.0,
        "use_normalization_before_and_after": True,
    },
}


def main() -> None:
    sizes = {
        "n_layers": 2,
        "d_model": 16,
        "n_ctx": 12,
        "d_head": 8,
        "n_heads": 4,
        "d_mlp": 24,
        "d_vocab": 19,
        "seed": 0,
    }
    worst = 0.0
    for name, features in CASES.items():
        theirs = HookedTransformer(HookedTransformerConfig(**sizes, **features))
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.2)
            tokens = torch.randint(0, 19, (2, 12))
            difference = float((from_transformer_lens(theirs)(tokens) - theirs(tokens)).abs().max())
        print(f"{name}: {difference:.1e}")
        worst = max(worst, difference)
    sys.exit(int(worst > 1e-5))


if __name__ == "__main__":
    main()
