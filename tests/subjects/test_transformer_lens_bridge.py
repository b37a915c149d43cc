"""Live models of TransformerLens 4 and of nnsight; skipped where these libraries are not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from toulmin.faults import FaultError
from toulmin.subjects import from_huggingface, from_transformer_lens

# the other library warns of its own future
pytestmark = pytest.mark.filterwarnings("ignore")
SIZES: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
GPT2 = {
    "vocab_size": 61,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHead", GPT2),
    "neox": ("GPTNeoXForCausalLM", SIZES | {"num_attention_heads": 2, "num_key_value_heads": 2}),
    "llama": ("LlamaForCausalLM", SIZES),
    "qwen2": ("Qwen2ForCausalLM", SIZES),
    "qwen3": ("Qwen3ForCausalLM", SIZES | {"head_dim": 16}),
    "gemma2": ("Gemma2ForCausalLM", SIZES | {"head_dim": 16, "sliding_window": 6}),
}
TOKENS = torch.randint(1, 61, (2, 12), generator=torch.Generator().manual_seed(0))


def lens() -> Any:
    """TransformerLens from version 4 on."""
    library = pytest.importorskip("transformer_lens")
    if not hasattr(library, "TransformerBridge"):
        pytest.skip("this TransformerLens has no TransformerBridge")
    return library


def save(case: str, folder: Path) -> Any:
    """A tiny random model with a tokenizer of words, as a folder; and the model."""
    name, settings = CASES[case]
    config = getattr(transformers, name.removesuffix("ForCausalLM").removesuffix("LMHead") + "Config")(**settings)
    torch.manual_seed(3)
    model = getattr(transformers, name if name.endswith("LM") else f"{name}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(61)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "w0")
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("case", CASES)
def test_bridges(case: str, tmp_path: Path) -> None:
    library = lens()
    expected = save(case, tmp_path)(TOKENS).logits.detach()
    bridge = library.TransformerBridge.boot_transformers(str(tmp_path))
    found = from_transformer_lens(bridge)
    with torch.no_grad():
        torch.testing.assert_close(found(TOKENS), expected, rtol=0, atol=1e-5)
        bridge.enable_compatibility_mode(disable_warnings=True)
        if case == "gemma2":
            with pytest.raises(FaultError, match="compatibility mode"):
                from_transformer_lens(bridge)
            return
        processed = from_transformer_lens(bridge)
        torch.testing.assert_close(processed(TOKENS), bridge(TOKENS), rtol=0, atol=1e-4)
        torch.testing.assert_close(processed(TOKENS).log_softmax(-1), expected.log_softmax(-1), rtol=0, atol=1e-4)


def test_native_models() -> None:
    library = lens()
    sizes = {"d_model": 16, "n_layers": 2, "d_mlp": 32, "d_head": 4, "n_heads": 4, "n_ctx": 16, "d_vocab": 61}
    config = library.TransformerBridgeConfig(
        **sizes, act_fn="gelu", normalization_type="LN", architecture="TransformerLensNative"
    )
    bridge = library.TransformerBridge.boot_native(config)
    with torch.no_grad():
        for parameter in bridge.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
        torch.testing.assert_close(from_transformer_lens(bridge)(TOKENS), bridge(TOKENS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["gpt2", "llama"])
def test_nnsight(case: str, tmp_path: Path) -> None:
    library = pytest.importorskip("nnsight")
    reference = save(case, tmp_path)
    expected = reference(TOKENS).logits.detach()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for wrapped in (
        library.LanguageModel(str(tmp_path), dispatch=True),
        library.LanguageModel(reference, tokenizer=tokenizer),
    ):
        with torch.no_grad():
            torch.testing.assert_close(from_huggingface(wrapped)(TOKENS), expected, rtol=0, atol=1e-5)
