"""Which features of a dictionary carry the two-name behaviour? A circuit of features, and one of random directions.

The component that matters most for the behaviour is split into what its features write, the rest and the error. Then
all of it is cut but a few features: how much of its effect do they keep, on prompts that did not choose them? The
card says how far that depends on the methodology.
"""

import torch

from toulmin.circuits import Circuit, CircuitRunner, Methodology, faithfulness_card
from toulmin.dictionaries import DictionaryConfig, Objective, component_output, feature_terms, rank_features
from toulmin.dictionaries.controls import train_beside_controls
from toulmin.evidence import bootstrap_ratio
from toulmin.subjects import load
from toulmin.tasks import Stories, collate, find_metric, find_task
from toulmin.training import IndexedBatches, Schedule

subject = load("embedded:story-4l")
model, task, metric = subject.model, find_task("story.two_name", subject), find_metric("logit_diff")
pairs = [[p for p in task.generate(n, seed, "held_out") if p.length == 15] for n, seed in ((64, 1), (128, 2))]
choosing, measuring = pairs
cutting = Methodology()  # of single edges; cut ones carry what they carry in the counterfactual run


def effects(runner, circuits):
    """[C, N] the logit difference of every circuit on every prompt."""
    return runner.scores(circuits, cutting, [metric])["logit_diff"]


plain = CircuitRunner(model, choosing)
everything = Circuit.full(plain.graph)
names = [name for name in plain.graph.sources if name != "embed"]
each = effects(plain, [everything, *(everything - Circuit.of_nodes(plain.graph, [name]) for name in names)]).mean(1)
cost, component = max((each[0] - value, name) for value, name in zip(each[1:], names, strict=True))
print(f"cutting {component} costs {cost:.2f} of {each[0]:.2f}")

x = component_output(model, component, Stories(64, seed=7).rows(0, 400)).flatten(0, 1)
x_batches = IndexedBatches(lambda i: x[torch.randint(len(x), (1024,), generator=torch.Generator().manual_seed(i))])
config = DictionaryConfig("topk", model.config.d_model, 256, k=6, start="tied")
made = train_beside_controls(
    config, Objective(local=1.0), x_batches, Schedule(200, 3e-3, "cosine"), ["frozen_decoder"], seed=0
)

batch = collate(choosing)
value = component_output(model, component, batch.clean).requires_grad_()
logits, _ = model.run_with_cache(batch.clean, [], {component: lambda _: value})
at = logits[torch.arange(len(value)), batch.at]
(gradient,) = torch.autograd.grad(metric(at[None], batch, at[None]).sum(), value)
other = component_output(model, component, batch.counterfactual)


def keep(runner, features):
    """Every edge, but of the component only those of these features."""
    own = [source for source in runner.graph.sources if source.startswith(f"{component}:")]
    kept = {f"{component}:f{feature}" for feature in features}
    return Circuit.full(runner.graph) - Circuit.of_nodes(runner.graph, [name for name in own if name not in kept])


def show_card(name, runner, circuit):
    """How many rows of the card say faithful, its ends, and the choices that flip the verdict."""
    card = faithfulness_card(runner, circuit, resamples=200)
    print(f"{name}: {card.count('faithful')} of {len(card.rows)} faithful, {card.count('unfaithful')} unfaithful")
    print(f"  lowest  {card.lowest}\n  highest {card.highest}\n  flipped by {card.flipped_by()}")


for name, dictionary in made.items():
    ranked = [feature for feature, _ in rank_features(dictionary, value.detach(), other, gradient)[:16]]
    runner = CircuitRunner(model, measuring, terms={component: feature_terms(dictionary, ranked)})
    circuits = [keep(runner, ranked[:k]) for k in (0, 1, 4, 16)]
    none, *some, whole = effects(runner, [*circuits, Circuit.full(runner.graph)])
    for k, found in zip((1, 4, 16), some, strict=True):
        ends, share = bootstrap_ratio(found - none, whole - none), (found - none).sum() / (whole - none).sum()
        print(f"{name:15s} {k:2d} features keep {share:5.0%} [{ends.low:.0%}, {ends.high:.0%}] of {component}'s effect")
    show_card(f"card of everything, of {component} only 16 features ({name})", runner, circuits[-1])
show_card(f"card of everything but {component}", runner, circuits[0])
