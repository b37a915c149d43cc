"""Subjects written and read again; and what is said of files that cannot be read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from toulmin.faults import ExitCode, FaultError
from toulmin.subjects import ConvAutoencoder, Mlp, Transformer, TransformerConfig, load, load_tokenizer, save_subject

CONFIG = TransformerConfig(n_layers=2, d_model=8, n_heads=2, d_head=4, d_vocab=11, n_ctx=6, d_mlp=12)
VARIED = TransformerConfig(
    n_layers=2,
    d_model=8,
    n_heads=4,
    d_head=4,
    d_vocab=11,
    n_ctx=6,
    d_mlp=12,
    n_kv_heads=2,
    positions="rotary",
    norm="rms",
    gated=True,
    activation="silu",
    biases=(),
    tied=True,
    windows=(3, None),
    qk_norm=True,
    post_norms=True,
    logit_softcap=30.0,
)


@pytest.mark.parametrize("config", [CONFIG, VARIED])
def test_transformer_round_trip(config: TransformerConfig, tmp_path: Path) -> None:
    model = Transformer(config, torch.Generator().manual_seed(5))
    save_subject(tmp_path / "a", model, card={"seed": 5, "licence": "MIT"})
    tokens = torch.arange(6)
    for reference in (f"dir:{tmp_path}/a", f"file:{tmp_path}/a/model.safetensors"):
        subject = load(reference)
        assert subject.model.config == config
        assert torch.equal(subject.model(tokens), model(tokens))
        assert subject.card == {"reference": reference, "seed": 5, "licence": "MIT"}
    save_subject(tmp_path / "b", load(f"dir:{tmp_path}/a").model, card={"seed": 5, "licence": "MIT"})
    for name in ("model.safetensors", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["card.json", "model.safetensors"]


@pytest.mark.parametrize("model", [Mlp([5, 7, 3], "gelu", bias=False), ConvAutoencoder(8, 2, 3, 4)])
def test_other_networks_round_trip(model: Mlp | ConvAutoencoder, tmp_path: Path) -> None:
    save_subject(tmp_path, model)
    subject = load(f"dir:{tmp_path}", kind=type(model))
    x = torch.rand(3, 5) if isinstance(model, Mlp) else torch.rand(3, 2, 8, 8)
    assert torch.equal(subject.model(x), model(x))
    assert subject.model(x).shape == ((3, 3) if isinstance(model, Mlp) else x.shape)
    assert type(load(f"dir:{tmp_path}", kind=torch.nn.Module).model) is type(model)
    with pytest.raises(FaultError, match=r"a Transformer is wanted, .*kind=" + type(model).__name__) as caught:
        load(f"dir:{tmp_path}")
    assert caught.value.exit_code == ExitCode.SUBJECT


def test_half_precision_storage(tmp_path: Path) -> None:
    model = Transformer(CONFIG)
    save_subject(tmp_path, model, dtype=torch.bfloat16)
    loaded = load(f"dir:{tmp_path}").model
    assert loaded.W_E.dtype == torch.float32
    assert torch.equal(loaded.W_E, model.W_E.bfloat16().float())
    half = load(f"dir:{tmp_path}", dtype=torch.bfloat16).model
    torch.testing.assert_close(half(torch.arange(6)).float(), loaded(torch.arange(6)), rtol=0.1, atol=0.1)


def test_tokenizer_travels(shared: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(shared / "data/stories260K")
    save_subject(tmp_path, Transformer(CONFIG), tokenizer)
    again = load(f"dir:{tmp_path}").tokenizer
    assert again is not None
    assert (again.encode("a girl", bos=True), again.eos) == (tokenizer.encode("a girl", bos=True), 2)


def test_llama2c_and_others_by_reference(shared: Path) -> None:
    subject = load(f"file:{shared}/data/stories260K/stories260K.bin")
    assert subject.tokenizer is not None
    assert len(subject.tokenizer) == subject.model.config.d_vocab == 512
    assert load(f"file:{shared}/data/tracr/hist.npz").model.config.causal is False
    folder = sorted((shared / "data/modadd").iterdir())[0]
    assert load(f"dir:{folder}").model.config.d_mlp == 512


def codes(reference: str) -> list[tuple[str, str | None]]:
    with pytest.raises(FaultError) as caught:
        load(reference)
    assert caught.value.exit_code == ExitCode.SUBJECT
    return sorted((fault.code, fault.name) for fault in caught.value.faults)


def test_every_wrong_tensor_is_listed(tmp_path: Path) -> None:
    save_subject(tmp_path, Transformer(CONFIG))
    path = tmp_path / "model.safetensors"
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    del tensors["W_E"]
    tensors["surplus"] = torch.zeros(3)
    tensors["b_U"] = torch.zeros(10)
    tensors["final_norm.w"][2] = torch.nan
    tensors["layers.1.mlp.b_in"] = torch.zeros(12, dtype=torch.int64)
    save_file(tensors, path, metadata)
    assert codes(f"dir:{tmp_path}") == [
        ("subjects.tensor_extra", "surplus"),
        ("subjects.tensor_missing", "W_E"),
        ("subjects.tensor_nonfinite", "final_norm.w"),
        ("subjects.tensor_shape", "b_U"),
        ("subjects.tensor_type", "layers.1.mlp.b_in"),
    ]


def test_damaged_files(tmp_path: Path) -> None:
    save_subject(tmp_path, Transformer(CONFIG))
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    messages = []
    for damaged in (b"", whole[:5], whole[:100], whole[:-100], b"\xff" * 40, struct.pack("<Q", 5) + b"{]}  " + whole):
        path.write_bytes(damaged)
        with pytest.raises(FaultError) as caught:
            load(f"dir:{tmp_path}")
        assert [fault.code for fault in caught.value.faults] == ["subjects.safetensors"]
        messages.append(caught.value.faults[0].message)
    assert messages[0] == "the file is empty"
    assert messages[3] == "cut off: 100 bytes are missing"
    save_file({"a": torch.zeros(2)}, path)
    assert codes(f"file:{path}") == [("subjects.unknown_format", None)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n_layers": "two"}, "n_layers"),
        ({"wheels": 4}, "wheels"),
        ({"positions": "sideways"}, "positions"),
        ({"n_kv_heads": 3}, "n_kv_heads"),
        ({"n_layers": 10**9}, "n_layers"),
        ({"rotary_scaling": {"kind": "linear", "bogus": 1}}, "rotary_scaling"),
        ({"windows": [1, 2, 3]}, "windows"),
        ({"biases": ["z"]}, "biases"),
    ],
)
def test_wrong_shapes_in_the_metadata(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    about = {"kind": "transformer", "config": CONFIG.to_dict() | change, "card": {}}
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors", {"toulmin": json.dumps(about)})
    assert codes(f"file:{tmp_path}/m.safetensors") == [("subjects.config", named)]


def test_nothing_there(tmp_path: Path) -> None:
    assert codes(f"dir:{tmp_path}") == [("subjects.unknown_format", None)]
    assert codes(f"dir:{tmp_path}/none")[0][0] == "reference.not_found"
    (tmp_path / "x.onnx").write_bytes(b"x")
    assert codes(f"file:{tmp_path}/x.onnx") == [("subjects.unknown_format", None)]
    assert codes("embedded:no-such-subject")[0][0] == "reference.not_found"
