"""Files: our own bytes, SAELens' folders there and back, checkpoints of e2e_sae and eai-sparsify, and what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from toulmin.dictionaries import (
    Dictionary,
    DictionaryConfig,
    Insertion,
    Objective,
    evaluate_dictionaries,
    load_dictionary,
    make_dictionary,
    save_dictionary,
    train_dictionaries,
)
from toulmin.dictionaries.formats.checkpoints import import_e2e_sae, import_sparsify
from toulmin.dictionaries.formats.saelens import export_saelens, hook_name, import_saelens, site_of_hook
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import RepeatedTokens
from toulmin.training import Schedule, token_batches

KINDS: dict[str, dict[str, Any]] = {
    "relu": {},
    "topk": {"k": 3},
    "batch_topk": {"k": 3},
    "jumprelu": {"threshold": 0.3},
    "matryoshka": {"k": 3, "prefixes": (8, 24)},
    "gated": {},
    "transcoder": {"kind": "relu", "d_out": 10},
    "skip": {"kind": "relu", "skip": True},
    "input bias": {"kind": "topk", "k": 4, "input_bias": True},
}


def made(name: str) -> Dictionary:
    config = DictionaryConfig(**{"kind": name, "d_in": 16, "n_features": 24, **KINDS[name]})
    dictionary = make_dictionary(config, 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        if config.kind in ("batch_topk", "matryoshka"):
            dictionary.get_buffer("threshold").fill_(0.4)
    return dictionary.eval()


X = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KINDS)
def test_our_own_file_gives_the_same_dictionary_and_the_same_bytes(name: str, tmp_path: Path) -> None:
    dictionary = made(name)
    save_dictionary(tmp_path / "a.safetensors", dictionary, "L2.resid_pre", {"note": "x"})
    found = load_dictionary(tmp_path / "a.safetensors")
    assert (found.site, found.card, found.dictionary.config) == ("L2.resid_pre", {"note": "x"}, dictionary.config)
    for ours, theirs in zip(found.dictionary.eval()(X), dictionary(X), strict=True):
        assert torch.equal(ours, theirs)
    save_dictionary(tmp_path / "b.safetensors", found.dictionary, found.site, found.card)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text())["site"] == "L2.resid_pre"


@pytest.mark.parametrize("name", KINDS)
def test_saelens_there_and_back(name: str, tmp_path: Path) -> None:
    dictionary = made(name)
    site = "L2.mlp" if name in ("transcoder", "skip") else "L2.resid_pre"
    export_saelens(tmp_path, dictionary, site, model_name="m")
    found = import_saelens(tmp_path)
    assert found.site == site
    for ours, theirs in zip(found.dictionary.eval()(X), dictionary(X), strict=True):
        torch.testing.assert_close(ours, theirs)
    weights, cfg = load_file(tmp_path / "sae_weights.safetensors"), json.loads((tmp_path / "cfg.json").read_text())
    torch.testing.assert_close(weights["W_dec"].norm(dim=1), torch.ones(24))
    assert cfg["metadata"]["hook_name"] == ("blocks.2.hook_mlp_out" if site == "L2.mlp" else "blocks.2.hook_resid_pre")


def test_a_dictionary_in_saelens_format_is_finished_by_finetuning(tmp_path: Path) -> None:
    """A local dictionary from a SAELens folder, then KL + MSE (Karvonen 2025): KL on other rows falls."""
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, d_mlp=32)
    model = Transformer(config, torch.Generator().manual_seed(1))
    source, held_out = RepeatedTokens(10, 23, 0, 2, 4), RepeatedTokens(10, 23, 1, 2, 4).rows(0, 32)
    local = make_dictionary(DictionaryConfig("topk", 16, 24, k=4), 3)
    made = Insertion("local", {"L1.resid_pre": local}, Objective(local=1.0))
    train_dictionaries(model, [made], token_batches(source, 8), Schedule(40, 1e-2))
    export_saelens(tmp_path, local, "L1.resid_pre")
    found = import_saelens(tmp_path)
    tuned = Insertion("tuned", {found.site: found.dictionary}, Objective(local=1.0, kl=1.0, balanced=True))
    train_dictionaries(model, [tuned], token_batches(source, 8, 400), Schedule(20, 3e-3))
    held = {"before": {found.site: local}, "after": {found.site: found.dictionary}}
    kl = {name: one.mean("kl") for name, one in evaluate_dictionaries(model, held, held_out).items()}
    assert 0 < kl["after"] < 0.9 * kl["before"]


def test_saelens_activations_in_units_of_the_decoder_norm(tmp_path: Path) -> None:
    """``rescale_acts_by_decoder_norm``: the k largest are chosen after multiplying by the norm of what is written."""
    dictionary = made("topk")
    export_saelens(tmp_path, dictionary, "L2.resid_pre")
    weights, cfg = load_file(tmp_path / "sae_weights.safetensors"), json.loads((tmp_path / "cfg.json").read_text())
    norm = torch.linspace(0.2, 3.0, 24)
    weights["W_dec"] = (weights["W_dec"] * norm[:, None]).contiguous()
    save_file(weights, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({**cfg, "rescale_acts_by_decoder_norm": True}))
    found = import_saelens(tmp_path).dictionary
    pre = (X @ weights["W_enc"] + weights["b_enc"]) * norm
    codes = torch.where(pre >= pre.topk(3).values[:, -1:], pre.relu(), 0)
    torch.testing.assert_close(found.encode(X), codes)
    torch.testing.assert_close(found(X).output, codes @ (weights["W_dec"] / norm[:, None]) + weights["b_dec"])


def test_the_references_checkpoints_are_read(tmp_path: Path) -> None:
    dictionary = made("relu")
    state = {
        "blocks-2-hook_resid_pre.encoder.0.weight": dictionary.W_enc.detach().T.contiguous(),
        "blocks-2-hook_resid_pre.encoder.0.bias": dictionary.b_enc.detach(),
        "blocks-2-hook_resid_pre.decoder.weight": dictionary.W_dec.detach().T.contiguous(),
        "blocks-2-hook_resid_pre.decoder.bias": dictionary.b_dec.detach(),
    }
    torch.save(state, tmp_path / "samples_100.pt")
    found = import_e2e_sae(tmp_path / "samples_100.pt")["L2.resid_pre"].dictionary
    for ours, theirs in zip(found(X), dictionary(X), strict=True):
        assert torch.equal(ours, theirs)
    del state["blocks-2-hook_resid_pre.decoder.bias"]
    torch.save(state, tmp_path / "cut.pt")
    for name, match in (("cut.pt", "decoder.bias"), ("none.pt", "cannot be read")):
        with pytest.raises(FaultError, match=match):
            import_e2e_sae(tmp_path / name)


@pytest.mark.parametrize("transcode", [False, True])
def test_sparsifys_folders_are_read(transcode: bool, tmp_path: Path) -> None:
    """Codes, output and skip as its code computes them."""
    folder, generator = tmp_path / ("layers.3.mlp" if transcode else "layers.3"), torch.Generator().manual_seed(2)
    folder.mkdir()
    shapes = {"encoder.weight": (24, 16), "encoder.bias": (24,), "W_dec": (24, 16), "b_dec": (16,)}
    shapes |= {"W_skip": (16, 16)} if transcode else {}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(tensors, folder / "sae.safetensors")
    cfg = {"activation": "topk", "k": 3, "d_in": 16, "transcode": transcode, "skip_connection": transcode}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    found = import_sparsify(folder)
    assert found.site == ("L3.mlp" if transcode else "L3.resid_post")
    x = X if transcode else X - tensors["b_dec"]
    pre = (x @ tensors["encoder.weight"].T + tensors["encoder.bias"]).relu()
    codes = torch.where(pre >= pre.topk(3).values[:, -1:], pre, 0)
    output = codes @ tensors["W_dec"] + tensors["b_dec"]
    output = output + X @ tensors["W_skip"].T if transcode else output
    torch.testing.assert_close(found.dictionary.encode(X), codes)
    torch.testing.assert_close(found.dictionary(X).output, output)
    (folder / "cfg.json").write_text(json.dumps({**cfg, "activation": "groupmax"}))
    with pytest.raises(FaultError, match="groupmax"):
        import_sparsify(folder)


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    save_dictionary(tmp_path / "a.safetensors", made("relu"), "L1.resid_pre")
    tensors = load_file(tmp_path / "a.safetensors")
    about = {"config": {"kind": "relu", "d_in": 16, "n_features": 25}, "site": "L1.resid_pre", "card": {}}
    save_file(tensors, tmp_path / "b.safetensors", {"toulmin.dictionary": json.dumps(about)})
    with pytest.raises(FaultError) as caught:
        load_dictionary(tmp_path / "b.safetensors")
    assert {fault.name for fault in caught.value.faults} == {"W_enc", "b_enc", "W_dec"}
    save_file(tensors, tmp_path / "c.safetensors")
    for name in ("c.safetensors", "absent.safetensors"):
        with pytest.raises(FaultError, match="no dictionary of ours"):
            load_dictionary(tmp_path / name)
    export_saelens(tmp_path / "sae", made("relu"), "L1.resid_pre")
    cfg = json.loads((tmp_path / "sae/cfg.json").read_text())
    cfg |= {"normalize_activations": "layer_norm", "architecture": "temporal"}
    (tmp_path / "sae/cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(FaultError) as caught:
        import_saelens(tmp_path / "sae")
    assert [fault.name for fault in caught.value.faults] == ["normalize_activations", "architecture"]
    with pytest.raises(FaultError, match="no topk transcoder"):
        export_saelens(tmp_path, make_dictionary(DictionaryConfig("topk", 16, 24, k=2)), "L1.mlp")
    assert site_of_hook(hook_name("L11.resid_mid")) == "L11.resid_mid"
    assert site_of_hook("blocks.7.hook_mlp_out", transcodes=True) == "L7.mlp"


SAELENS = """
import sys, torch
from sae_lens import SAE
import sae_lens.saes.transcoder
for folder in sys.argv[2:]:
    sae = SAE.load_from_disk(folder)
    x = torch.load(sys.argv[1])
    codes = sae.encode(x)
    torch.save([codes.detach(), sae(x).detach()], folder + "/theirs.pt")
"""


@pytest.mark.slow
@pytest.mark.skipif("TOULMIN_SAELENS" not in os.environ, reason="TOULMIN_SAELENS names no Python that has SAELens")
def test_saelens_itself_gives_the_same_codes(tmp_path: Path) -> None:
    """SAELens, in an environment of its own, loads every kind that we export."""
    torch.save(X, tmp_path / "x.pt")
    for name in KINDS:
        site = "L2.mlp" if name in ("transcoder", "skip") else "L2.resid_pre"
        export_saelens(tmp_path / name, made(name), site)
    command = [
        os.environ["TOULMIN_SAELENS"],
        "-c",
        SAELENS,
        str(tmp_path / "x.pt"),
        *(str(tmp_path / n) for n in KINDS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in KINDS:
        codes, output = torch.load(tmp_path / name / "theirs.pt")
        reconstruction = made(name)(X)
        torch.testing.assert_close(codes, reconstruction.codes, msg=name)
        torch.testing.assert_close(output, reconstruction.output, msg=name)


THEIRS = """
import sys, torch
folder, checkout = sys.argv[1:]
sys.path.insert(0, checkout)
from e2e_sae.models.sparsifiers import SAE
from sparsify import SparseCoder, SparseCoderConfig

torch.manual_seed(0)
x = torch.randn(40, 16)
found = {"x": x}
for name, transcode in (("layers.3", False), ("layers.3.mlp", True)):
    coder = SparseCoder(16, SparseCoderConfig(k=4, num_latents=48, skip_connection=transcode, transcode=transcode))
    for parameter in coder.parameters():
        parameter.data.normal_(std=0.3)
    coder.save_to_disk(f"{folder}/{name}")
    out = coder(x=x, y=x)
    codes = torch.zeros(40, 48).scatter(1, out.latent_indices, out.latent_acts)
    found[name] = [out.sae_out.detach(), codes.detach()]
sae = SAE(16, 48)
for parameter in sae.parameters():
    parameter.data.normal_(std=0.3)
torch.save({f"blocks-2-hook_resid_pre.{name}": value for name, value in sae.state_dict().items()}, f"{folder}/e2e.pt")
output, codes = sae(x)
found["e2e"] = [output.detach(), codes.detach()]
torch.save(found, f"{folder}/theirs.pt")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not {"TOULMIN_SAELENS", "TOULMIN_E2E_SAE"} <= set(os.environ),
    reason="TOULMIN_SAELENS names no Python that has sparsify, or TOULMIN_E2E_SAE no checkout of e2e_sae",
)
def test_files_that_the_others_wrote_give_their_codes(tmp_path: Path) -> None:
    """Dictionaries of eai-sparsify and e2e_sae, made, saved and run by their own code."""
    command = [os.environ["TOULMIN_SAELENS"], "-c", THEIRS, str(tmp_path), os.environ["TOULMIN_E2E_SAE"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = torch.load(tmp_path / "theirs.pt")
    imported = {name: import_sparsify(tmp_path / name) for name in ("layers.3", "layers.3.mlp")}
    imported["e2e"] = import_e2e_sae(tmp_path / "e2e.pt")["L2.resid_pre"]
    for name, found in imported.items():
        output, codes = theirs[name]
        reconstruction = found.dictionary(theirs["x"])
        torch.testing.assert_close(reconstruction.codes, codes, msg=name)
        torch.testing.assert_close(reconstruction.output, output, msg=name)
