"""Times TransformerLens' direct path patching on all sender-receiver pairs; runs in an environment of its own.

    python worker.py FOLDER

FOLDER has cfg.json, weights.safetensors, tokens.safetensors and the file ``components``. Its path patching takes a
``TransformerBridge``, which wraps a model of transformers: the weights are put into a GPT-2 of that size. Writes
tl4.safetensors (last logits of every pair of heads, by component) and prints one JSON line: CPU seconds by component,
peak memory over the loaded model's. The library calls the reference run "corrupted" and the other "clean".
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.patching import get_act_patch_direct_path
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast


def gpt2_of(cfg: dict, weights: dict[str, torch.Tensor]) -> GPT2LMHeadModel:
    """The same model under the names of transformers."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=cfg["d_vocab"],
            n_positions=cfg["n_ctx"],
            n_embd=cfg["d_model"],
            n_layer=cfg["n_layers"],
            n_head=cfg["n_heads"],
            n_inner=cfg["d_mlp"],
            activation_function=cfg["act_fn"],
            tie_word_embeddings=False,
        )
    )
    if weights["unembed.b_U"].any():
        sys.exit("a GPT-2 of transformers has no bias on its logits")
    state = {
        "transformer.wte.weight": weights["embed.W_E"],
        "transformer.wpe.weight": weights["pos_embed.W_pos"],
        "transformer.ln_f.weight": weights["ln_final.w"],
        "transformer.ln_f.bias": weights["ln_final.b"],
        "lm_head.weight": weights["unembed.W_U"].T,
    }
    for layer in range(cfg["n_layers"]):
        theirs, ours = f"transformer.h.{layer}", f"blocks.{layer}"
        for number in (1, 2):
            state[f"{theirs}.ln_{number}.weight"] = weights[f"{ours}.ln{number}.w"]
            state[f"{theirs}.ln_{number}.bias"] = weights[f"{ours}.ln{number}.b"]
        inputs = [weights[f"{ours}.attn.W_{slot}"].permute(1, 0, 2).flatten(1) for slot in "QKV"]
        state[f"{theirs}.attn.c_attn.weight"] = torch.cat(inputs, 1)
        state[f"{theirs}.attn.c_attn.bias"] = torch.cat([weights[f"{ours}.attn.b_{slot}"].flatten() for slot in "QKV"])
        state[f"{theirs}.attn.c_proj.weight"] = weights[f"{ours}.attn.W_O"].flatten(0, 1)
        state[f"{theirs}.attn.c_proj.bias"] = weights[f"{ours}.attn.b_O"]
        for part, name in (("c_fc", "in"), ("c_proj", "out")):
            state[f"{theirs}.mlp.{part}.weight"] = weights[f"{ours}.mlp.W_{name}"]
            state[f"{theirs}.mlp.{part}.bias"] = weights[f"{ours}.mlp.b_{name}"]
    model.load_state_dict({name: value.contiguous() for name, value in state.items()})
    return model.eval()


def bridge_of(model: GPT2LMHeadModel, size: int) -> TransformerBridge:
    """The bridge needs a tokenizer and files of its own; nothing is downloaded."""
    words = Tokenizer(models.WordLevel({f"t{number}": number for number in range(size)}, unk_token="t0"))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "t0")
        PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        return TransformerBridge.boot_transformers(folder, hf_model=model, tokenizer=tokenizer)


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    cfg = json.loads((folder / "cfg.json").read_text())
    model = bridge_of(gpt2_of(cfg, load_file(folder / "weights.safetensors")), cfg["d_vocab"]).eval()
    tokens = load_file(folder / "tokens.safetensors")
    model(tokens["clean"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    components = (folder / "components").read_text()
    senders = [(layer, head) for layer in range(cfg["n_layers"] - 1) for head in range(cfg["n_heads"])]
    out, seconds = {}, {}
    for component in components[0] + components:  # what the first call sets up is not timed, on either side
        got: list[torch.Tensor] = []

        def metric(logits: torch.Tensor, got: list[torch.Tensor] = got) -> torch.Tensor:
            got.append(logits[:, -1].clone())
            return logits.new_zeros(())

        start = time.process_time()
        _, reference = model.run_with_cache(tokens["clean"])
        _, other = model.run_with_cache(tokens["other"])
        for layer, head in senders:
            get_act_patch_direct_path(
                model, tokens["clean"], other, reference, metric, layer, head, component=component, verbose=False
            )
        seconds[component] = time.process_time() - start
        out[component] = torch.stack(got)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    save_file(out, folder / "tl4.safetensors")
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024, "pairs": len(out[components[0]])}))


if __name__ == "__main__":
    main()
