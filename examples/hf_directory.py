"""A Hugging Face directory on disk: named activations, the logit lens, and what each head adds to a logit difference.

python examples/hf_directory.py DIRECTORY "The text to read"
"""

import sys

import torch

from toulmin.subjects import load

subject = load(f"dir:{sys.argv[1]}")
model, tokenizer = subject.model, subject.tokenizer
assert tokenizer is not None, "the directory has no tokenizer"
with torch.no_grad():
    logits, cache = model.run_with_cache(torch.tensor(tokenizer.encode(sys.argv[2])))
    first, second = logits[-1].topk(2).indices
    direction = model.W_U[:, first] - model.W_U[:, second]
    stream = cache[f"L{model.config.n_layers - 1}.resid_post"][-1]
    print("next token", tokenizer.tokens([first]), "before", tokenizer.tokens([second]))
    for layer in range(model.config.n_layers):
        lens = model.unembed(cache[f"L{layer}.resid_post"][-1]).argmax()  # what the model would say if it ended here
        heads = model.final_norm.share(cache[f"L{layer}.result"][-1], stream) @ direction  # [H] logits
        print(f"L{layer}", tokenizer.tokens([lens]), " ".join(f"H{h} {x:+.3f}" for h, x in enumerate(heads.tolist())))
