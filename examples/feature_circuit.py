"""Which features of a dictionary carry the two-name behaviour? A circuit of features, and one of random directions.

The component that matters most for the behaviour is split into what its features write, the rest and the error. Then
all of it is cut but a few features: how much of its effect do they keep, on prompts that did not choose them?
"""

import numpy as np
import torch

from toulmin.dictionaries import DictionaryConfig, Objective, component_output, feature_terms, rank_features
from toulmin.dictionaries.controls import train_beside_controls
from toulmin.evidence import bootstrap_ratio
from toulmin.patching import Graph, run_circuits, source_values
from toulmin.subjects import load
from toulmin.tasks import Stories, collate, find_metric, find_task
from toulmin.training import IndexedBatches, Schedule

subject = load("embedded:story-4l")
model, task, metric = subject.model, find_task("story.two_name", subject), find_metric("logit_diff")
pairs = [[p for p in task.generate(n, seed, "held_out") if p.length == 15] for n, seed in ((64, 1), (128, 2))]
choosing, measuring = map(collate, pairs)


def effects(batch, masks, terms=None):
    """[C, B] logit difference of circuits whose masked edges carry what the counterfactual run writes."""
    graph = Graph.of(model).split(terms) if terms else Graph.of(model)
    with torch.no_grad():
        other = source_values(model, batch.counterfactual, graph=graph, terms=terms, scored=batch.at)
        logits = run_circuits(model, batch.clean, other, masks(graph), graph=graph, terms=terms, scored=batch.at)
        return metric(logits, batch, logits[:1]).double()


def cut_each_source(graph):
    """Circuit i cuts source i; the last cuts none."""
    masks = np.zeros((len(graph.sources) + 1, len(graph.sources), len(graph.receivers)), dtype=bool)
    for source in range(len(graph.sources)):
        masks[source, source] = True
    return masks


each = effects(choosing, cut_each_source).mean(1)
names = Graph.of(model).sources
candidates = [i for i, name in enumerate(names) if name != "embed"]
component = names[max(candidates, key=lambda i: float(each[-1] - each[i]))]
print(f"cutting {component} costs {float(each[-1] - each[names.index(component)]):.2f} of {float(each[-1]):.2f}")

x = component_output(model, component, Stories(64, seed=7).rows(0, 400)).flatten(0, 1)
x_batches = IndexedBatches(lambda i: x[torch.randint(len(x), (1024,), generator=torch.Generator().manual_seed(i))])
config = DictionaryConfig("topk", model.config.d_model, 256, k=6, start="tied")
made = train_beside_controls(
    config, Objective(local=1.0), x_batches, Schedule(200, 3e-3, "cosine"), ["frozen_decoder"], seed=0
)

value = component_output(model, component, choosing.clean).requires_grad_()
logits, _ = model.run_with_cache(choosing.clean, [], {component: lambda _: value})
at = logits[torch.arange(len(value)), choosing.at]
(gradient,) = torch.autograd.grad(metric(at[None], choosing, at[None]).sum(), value)
for name, dictionary in made.items():
    ranked = rank_features(
        dictionary, value.detach(), component_output(model, component, choosing.counterfactual), gradient
    )
    terms = {component: feature_terms(dictionary, [feature for feature, _ in ranked[:16]])}

    def keep_features(graph):
        """Circuit i keeps the first 2^i features of the component; then: everything cut, nothing cut."""
        masks = np.zeros((7, len(graph.sources), len(graph.receivers)), dtype=bool)
        own = [i for i, source in enumerate(graph.sources) if source.startswith(f"{component}:")]
        masks[:6, own] = True
        for i in range(5):
            masks[i, own[: 2**i]] = False
        return masks

    found = effects(measuring, keep_features, terms).numpy()
    for i in range(5):
        kept = bootstrap_ratio(found[i] - found[5], found[6] - found[5])
        share = (found[i] - found[5]).sum() / (found[6] - found[5]).sum()
        print(
            f"{name:15s} {2**i:2d} features keep {share:5.0%} [{kept.low:.0%}, {kept.high:.0%}] of {component}'s effect"
        )
