"""Damaged configurations, headers and tokenizers: a fault with a name, or a model, and nothing else."""

from __future__ import annotations

import json
import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from toulmin.faults import ExitCode, FaultError
from toulmin.subjects import Transformer, TransformerConfig, load, load_tokenizer, save_subject

WEIRD: list[Any] = [
    None,
    -1,
    0,
    1,
    3,
    10**9,
    2**63,
    1e400,
    -0.5,
    "",
    "x",
    [],
    [1],
    [None, "a"],
    {},
    {"a": 1},
    True,
    False,
]
KINDS = ["gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "bert"]
SETTINGS: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "max_position_embeddings": 16,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "sliding_window": 4,
    "use_sliding_window": True,
    "layer_types": ["full_attention", "sliding_attention"],
    "rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0},
    "attention_bias": False,
    "tie_word_embeddings": True,
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 2,
    "n_positions": 16,
    "num_heads": 2,
    "num_layers": 2,
    "attention_types": [[["global", "local"], 1]],
}
MODEL = TransformerConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_vocab=5, n_ctx=4)


def survive(read: Callable[[], object]) -> bool:
    """True if it was read; a fault of class SUBJECT is the only other way to end."""
    try:
        read()
    except FaultError as error:
        faulty = error
    else:
        faulty = None
    if faulty is not None:
        assert faulty.exit_code == ExitCode.SUBJECT
        assert faulty.faults
        assert all(fault.code and fault.message and "Traceback" not in str(fault) for fault in faulty.faults)
    return faulty is None


def mutate_json(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.8:
        changed = dict(value)
        key = rng.choice(sorted(changed))
        if rng.random() < 0.15:
            del changed[key]
        else:
            changed[key] = mutate_json(changed[key], rng)
        return changed
    return rng.choice(WEIRD)


def mutate_bytes(data: bytes, rng: random.Random, reach: int) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(min(reach, len(changed)))
        action = rng.random()
        if action < 0.6:
            changed[place] = rng.randrange(256)
        elif action < 0.8:
            del changed[place : place + rng.randint(1, 9)]
        else:
            changed[place:place] = rng.randbytes(rng.randint(1, 9))
        if not changed:
            break
    return bytes(changed)


def fuzz_config(folder: Path, rng: random.Random) -> None:
    settings = SETTINGS | {"model_type": rng.choice(KINDS)}
    for _ in range(rng.randint(0, 3)):
        settings = mutate_json(settings, rng)
    (folder / "config.json").write_text(json.dumps(settings))
    survive(lambda: load(f"dir:{folder}"))
    (folder / "config.json").unlink()


def fuzz_header(folder: Path, whole: bytes, rng: random.Random) -> None:
    length = struct.unpack("<Q", whole[:8])[0]
    path = folder / "fuzzed.safetensors"
    if rng.random() < 0.5:
        path.write_bytes(mutate_bytes(whole, rng, 8 + length))
    else:
        header = json.loads(whole[8 : 8 + length])
        for _ in range(rng.randint(1, 3)):
            header = mutate_json(header, rng)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    survive(lambda: load(f"file:{path}"))


def fuzz_llama2c(folder: Path, rng: random.Random) -> None:
    header = [rng.choice([8, 12, 2, 2, 1, 11, 16, 0, -3, 2**31 - 1, 3]) for _ in range(7)]
    path = folder / "fuzzed.bin"
    path.write_bytes(struct.pack("<7i", *header)[: rng.choice([28, 28, 11])] + bytes(rng.choice([0, 40, 4000])))
    survive(lambda: load(f"file:{path}"))


def fuzz_tokenizer(folder: Path, whole: bytes, rng: random.Random) -> None:
    (folder / "tok").mkdir(exist_ok=True)
    path = folder / "tok/tokenizer.json"
    if rng.random() < 0.5:
        path.write_bytes(mutate_bytes(whole, rng, len(whole)))
    else:
        path.write_text(json.dumps(mutate_json(mutate_json(json.loads(whole), rng), rng)))
    survive(lambda: load_tokenizer(path))


def tokenizer_bytes() -> bytes:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import BPE

    from toulmin.subjects import Tokenizer

    return Tokenizer(Backend(BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])), bos=0).to_json().encode()


def fuzz(folder: Path, seed: int, rounds: int) -> None:
    save_subject(folder, Transformer(MODEL, torch.Generator().manual_seed(0)))
    whole, words = (folder / "model.safetensors").read_bytes(), tokenizer_bytes()
    rng = random.Random(seed)
    for _ in range(rounds):
        fuzz_config(folder, rng)
        fuzz_header(folder, whole, rng)
        fuzz_llama2c(folder, rng)
        fuzz_tokenizer(folder, words, rng)


def test_the_undamaged_files_are_read(tmp_path: Path) -> None:
    save_subject(tmp_path, Transformer(MODEL))
    assert survive(lambda: load(f"dir:{tmp_path}"))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_bytes())
    assert survive(lambda: load_tokenizer(tmp_path / "tokenizer.json"))


def test_a_little_damage(tmp_path: Path) -> None:
    fuzz(tmp_path, seed=0, rounds=150)


@pytest.mark.fuzz
def test_much_damage(tmp_path: Path) -> None:
    end, seed = time.monotonic() + float(os.environ.get("TOULMIN_FUZZ_SECONDS", "60")), 1
    while time.monotonic() < end:
        fuzz(tmp_path, seed, rounds=50)
        seed += 1
