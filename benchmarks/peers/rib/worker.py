"""rib's Gram matrices, bases and interactions: python worker.py RIB FOLDER OUT BATCH.

RIB is a checkout of the reference, FOLDER holds what benchmarks/basis.py wrote: an MLP, or a one-layer transformer that
adds modulo a prime. Packages that rib imports and neither uses are replaced by empty modules. Prints one JSON line of
CPU seconds and memory added.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

UNUSED = ("mpi4py", "wandb", "torchvision", "datasets", "transformer_lens", "transformers", "networkit", "fire")
for name in UNUSED:
    for part in (name, f"{name}.hook_points", f"{name}.transforms", f"{name}.loading_from_pretrained"):
        sys.modules[part] = MagicMock()
sys.path.insert(0, sys.argv[1])

import torch  # noqa: E402
from rib.data_accumulator import (  # noqa: E402
    collect_dataset_means,
    collect_gram_matrices,
    collect_interaction_edges,
)
from rib.hook_manager import HookedModel  # noqa: E402
from rib.interaction_algos import calculate_interaction_rotations  # noqa: E402
from rib.models.mlp import MLP, MLPConfig  # noqa: E402
from rib.models.transformer import SequentialTransformer, SequentialTransformerConfig  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402


def status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def mlp(data: dict[str, torch.Tensor]) -> tuple[torch.nn.Module, list[str], list[str]]:
    """The model with biases folded in, its sections, and the places where they begin."""
    count = sum(name.startswith("W") for name in data)
    sizes = [data[f"W{n}"].shape[1] for n in range(count - 1)]
    config = MLPConfig(
        hidden_sizes=sizes,
        input_size=data["W0"].shape[0],
        output_size=data[f"b{count - 1}"].shape[0],
        dtype=torch.float64,
    )
    model = MLP(config)
    for n, layer in enumerate(model.layers):
        layer.W.data = data[f"W{n}"]
        layer.b.data = data[f"b{n}"]
    names = [f"layers.{n}" for n in range(count)]
    return model, names, names


def transformer(data: dict[str, torch.Tensor]) -> tuple[torch.nn.Module, list[str], list[str]]:
    """The same for a transformer of one layer, from which only the last position is read after attention."""
    (vocabulary, d_model), (heads, _, d_head) = data["W_E"].shape, data["W_Q"].shape
    config = SequentialTransformerConfig(
        n_layers=1,
        d_model=d_model,
        d_head=d_head,
        n_heads=heads,
        d_mlp=data["W_in"].shape[1],
        d_vocab=vocabulary,
        n_ctx=data["W_pos"].shape[0],
        act_fn="relu",
        normalization_type=None,
        eps=1e-5,
        dtype=torch.float64,
        use_attn_scale=True,
        use_split_qkv_input=False,
        use_local_attn=False,
        positional_embedding_type="standard",
        rotary_dim=None,
        parallel_attn_mlp=False,
        original_architecture=None,
    )
    places = ["ln1.0", "ln2.0", "unembed"]
    model = SequentialTransformer(config, [*places, "output"], last_pos_module_type="add_resid1")
    state = {name: data.get(name.split(".")[-1], value) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model, [f"sections.{name}" for name in model.sections if name != "pre"], places


def main() -> None:
    torch.set_num_threads(1)
    folder, out, batch = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    data = load_file(folder / "case.safetensors")
    model, sections, places = (mlp if "W0" in data else transformer)(data)
    count = len(sections)
    model.requires_grad_(False)
    model.fold_bias()
    hooked = HookedModel(model)
    x = data["x"]
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=batch, shuffle=False)
    before, start = status("VmRSS"), time.process_time()
    common = {"hooked_model": hooked, "data_loader": loader, "dtype": torch.float64, "device": "cpu"}
    means = collect_dataset_means(
        **common, module_names=sections, collect_output_dataset_means=False, hook_names=places
    )
    grams = collect_gram_matrices(
        **common, module_names=sections, collect_output_gram=False, hook_names=places, means=means
    )
    rotations = calculate_interaction_rotations(
        **common,
        gram_matrices=grams,
        section_names=sections,
        node_layers=[*places, "output"],
        n_intervals=0,
        integration_methods=["gradient"] * (count + 1),
        truncation_threshold=1e-12,
        rotate_final_node_layer=False,
        basis_formula="jacobian",
        center=True,
        means=means,
    )
    middle = time.process_time()
    edges = collect_interaction_edges(
        **common,
        interaction_rotations=rotations,
        n_intervals=0,
        integration_methods=["gradient"] * count,
        section_names=sections,
        data_set_size=len(x),
        edge_formula="squared",
    )
    end = time.process_time()
    found = {f"C{n}": r.C.contiguous() for n, r in enumerate(rotations) if r.C is not None}
    found |= {f"E{n}": e.E_hat.double().contiguous() for n, e in enumerate(edges)}
    save_file(found, out)
    numbers = {"bases": middle - start, "edges": end - middle, "bytes": status("VmHWM") - before}
    print(json.dumps(numbers))


main()
