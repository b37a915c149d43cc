"""The example runs on a directory made here, and says what the model says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from toulmin.subjects import Tokenizer, load_huggingface

EXAMPLE = Path(__file__).parents[2] / "examples/hf_directory.py"


def test_example(tmp_path: Path) -> None:
    words = ["the", "cat", "sat", "on", "mat", "dog", "?"]
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=7, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    backend = Backend(WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    backend.pre_tokenizer = Whitespace()
    (tmp_path / "tokenizer.json").write_text(Tokenizer(backend).to_json())
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLE), str(tmp_path), "the cat sat on the"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = done.stdout.splitlines()
    model = load_huggingface(tmp_path)
    best = model(torch.tensor([0, 1, 2, 3, 0]))[-1].topk(2).indices.tolist()
    assert lines[0] == f"next token ['{words[best[0]]}'] before ['{words[best[1]]}']"
    assert [line.split()[0] for line in lines[1:]] == ["L0", "L1", "L2"]
    assert lines[3].split()[1] == f"['{words[best[0]]}']"
    code = [line for line in EXAMPLE.read_text().split('"""')[2].splitlines() if line and not line.startswith("#")]
    assert len(code) < 20
