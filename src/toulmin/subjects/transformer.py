"""The factored decoder: a transformer whose every component can be named, read and replaced.

The residual stream is a sum. The embedding writes to it first; each layer's heads read it (through Q, K and V), and
write to it; then the layer's MLP reads and writes; the logits read it at the end. A norm belongs to the reader::

    resid = embed(tokens) + pos_embed
    for each layer:
        resid += sum over heads of  attend(q(norm1(resid)), k(norm1(resid)), v(norm1(resid))) W_O  (+ b_O)
        resid += mlp(norm2(resid))
    logits = final_norm(resid) W_U (+ b_U)

Dimension letters: B batch (any leading axes), T position, D d_model, H head, E d_head, F d_mlp, V vocabulary, L layer.
See Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from toulmin.faults import Fault, FaultError
from toulmin.subjects.attention import Attention
from toulmin.subjects.cache import MAX_BYTES, ActivationCache, Edits, Recorder, check_size, default_names
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.generation import KeyValueCache
from toulmin.subjects.mlp import FeedForward
from toulmin.subjects.names import component_names, find_names
from toulmin.subjects.norms import Normalise
from toulmin.subjects.positions import Positions, prepare_positions


class Layer(nn.Module):
    """One layer: ``norm1``, ``attn``, ``norm2``, ``mlp`` (None in attention-only models), and post-norms if any."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()

        def norm(wanted: bool) -> Normalise:
            return Normalise(config.norm if wanted else "none", config.d_model, config.norm_eps)

        self.index, self.name, self.parallel = index, f"L{index}", config.parallel
        self.norm1 = norm(config.pre_norms)
        self.attn = Attention(config, index)
        self.post_norm1 = norm(config.post_norms)
        self.mlp = FeedForward(config) if config.d_mlp else None
        self.norm2 = norm(config.pre_norms and config.d_mlp > 0)
        self.post_norm2 = norm(config.post_norms and config.d_mlp > 0)

    def forward(
        self,
        resid: Float[Tensor, "*B T D"],
        at: Positions,
        hook: Recorder | None = None,
        past: KeyValueCache | None = None,
    ) -> Float[Tensor, "*B T D"]:
        """From ``resid_pre`` to ``resid_post``."""
        resid = self._hook(hook, "resid_pre", resid)
        middle = resid + self.attention_out(resid, at, hook, past)
        if self.mlp is not None:
            if not self.parallel:
                resid = middle = self._hook(hook, "resid_mid", middle)
            middle = middle + self.mlp_out(resid, hook)
        return self._hook(hook, "resid_post", middle)

    def attention_out(
        self,
        resid: Float[Tensor, "*B T D"],
        at: Positions,
        hook: Recorder | None = None,
        past: KeyValueCache | None = None,
    ) -> Float[Tensor, "*B T D"]:
        """What the heads together write, b_O included, when all read ``resid``."""
        attn = self.attn
        x = self._hook(hook, "norm1", self.norm1(resid))
        q = self._hook(hook, "q", attn.q(x, at))
        k = self._hook(hook, "k", attn.k(x, at))
        v = self._hook(hook, "v", attn.v(x, at))
        if hook is None:
            k, v, k_at = (k, v, at) if past is None else past.extend(self.index, k, v, at)
            return self.post_norm1(attn.write(attn.attend(q, k, v, at, k_at)))
        scores = self._hook(hook, "scores", attn.scores(q, k, at, at))
        pattern = self._hook(hook, "pattern", scores.softmax(-1))
        z = self._hook(hook, "z", attn.mix(pattern, v))
        if hook.wants(f"{self.name}.result"):
            out = self._hook(hook, "result", attn.result(z)).sum(-2)
            out = out if attn.b_O is None else out + attn.b_O
        else:
            out = attn.write(z)
        return self._hook(hook, "attn_out", self.post_norm1(out))

    def mlp_out(self, resid: Tensor, hook: Recorder | None = None) -> Float[Tensor, "*B T D"]:
        """What the MLP writes when it reads ``resid`` (zeros where there is none)."""
        if self.mlp is None:
            return torch.zeros_like(resid)
        x = self._hook(hook, "norm2", self.norm2(resid))
        pre = self._hook(hook, "mlp_pre", self.mlp.pre(x))
        post = self._hook(hook, "mlp_post", self.mlp.post(pre, x))
        return self._hook(hook, "mlp_out", self.post_norm2(self.mlp.write(post)))

    def _hook(self, hook: Recorder | None, name: str, value: Tensor) -> Tensor:
        return value if hook is None else hook(f"{self.name}.{name}", value)


class Transformer(nn.Module):
    """A decoder (or, with ``causal=False``, an encoder) built from a :class:`TransformerConfig`.

    ``W_E`` [V, D]; ``W_pos`` [n_ctx, D] or None; ``layers``; ``final_norm``; ``W_U`` [D, V] (the transpose of ``W_E``
    where tied); ``b_U`` [V] or None. Holds no state but its parameters, so :func:`torch.func.functional_call` and the
    transforms of ``torch.func`` apply to it. It starts in ``eval()`` mode, in which every derivative exists;
    ``train()`` lets gradients through the fused attention kernel, which has first derivatives only. Nothing else
    differs: there is no dropout.

    :param generator: where the initial weights come from; default a generator with seed 0.
    """

    def __init__(self, config: TransformerConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))
        placed = config.positions in ("learned", "shortformer")
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model)) if placed else None
        self.layers = cast("Sequence[Layer]", nn.ModuleList(Layer(config, index) for index in range(config.n_layers)))
        self.final_norm = Normalise(config.norm, config.d_model, config.norm_eps)
        self._W_U = None if config.tied else nn.Parameter(torch.empty(config.d_model, config.vocab_out))
        self.b_U = nn.Parameter(torch.zeros(config.vocab_out)) if "unembed" in config.biases else None
        if not self.W_E.is_meta:
            self.reset_parameters(generator or torch.Generator().manual_seed(0))
        self.eval()

    @property
    def W_U(self) -> Float[Tensor, "D V"]:
        """The unembedding."""
        return self.W_E.T if self._W_U is None else self._W_U

    @property
    def components(self) -> list[str]:
        """Names of the graph's nodes, in order: ``embed``, ``L0.H0``, …, ``L0.mlp``, …, ``logits``."""
        return component_names(self.config)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw fresh weights: normal, standard deviation 0.8 / sqrt(D), output matrices also / sqrt(2 L)."""
        std = 0.8 / self.config.d_model**0.5
        for name, parameter in self.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if leaf.startswith(("W_", "_W_")):
                out = leaf in ("W_O", "W_out")
                drawn = torch.empty(parameter.shape).normal_(
                    0.0, std / (2 * self.config.n_layers) ** 0.5 if out else std, generator=generator
                )
                parameter.copy_(drawn)

    # -- the parts of a forward pass ------------------------------------------------------------------------------

    def positions(self, where: int | Int[Tensor, " T"]) -> Positions:
        """Prepare positions 0 … T−1 (an int), or the given ones, for :class:`Layer` and :class:`Attention`."""
        plain = isinstance(where, int)
        index = torch.arange(where, device=self.W_E.device) if isinstance(where, int) else where
        return prepare_positions(self.config, index, self.W_pos, self.W_E.dtype, plain=plain)

    def embed(self, tokens: Int[Tensor, "*B T"]) -> Float[Tensor, "*B T D"]:
        """The token part of the embedding: ``W_E[token]`` (scaled, in Gemma)."""
        embedded = self.W_E[tokens]
        return embedded if self.config.embed_scale == 1.0 else embedded * self.config.embed_scale

    def pos_embed(self, at: Positions) -> Float[Tensor, "T D"] | None:
        """The position part: ``W_pos[p]`` where positions are learned, otherwise None (nothing enters the stream)."""
        return self.W_pos[at.index] if self.config.positions == "learned" and self.W_pos is not None else None

    def start(
        self, tokens: Int[Tensor, "*B T"], at: Positions, hook: Recorder | None = None
    ) -> Float[Tensor, "*B T D"]:
        """The residual stream before the first layer: both parts of the embedding."""
        resid, placed = self.embed(tokens), self.pos_embed(at)
        if hook is not None:
            resid = hook("embed", resid)
            placed = None if placed is None else hook("pos_embed", placed)
        return resid if placed is None else resid + placed

    def unembed(self, resid: Float[Tensor, "*B D"], hook: Recorder | None = None) -> Float[Tensor, "*B V"]:
        """Logits of any residual streams: final norm, ``W_U``, ``b_U``, soft-cap."""
        x = self.final_norm(resid)
        x = x if hook is None else hook("final_norm", x)
        logits = x @ self.W_U
        logits = logits if self.b_U is None else logits + self.b_U
        cap = self.config.logit_softcap
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        return logits if hook is None else hook("logits", logits)

    # -- whole passes ---------------------------------------------------------------------------------------------

    def forward(self, tokens: Int[Tensor, "*B T"], past: KeyValueCache | None = None) -> Float[Tensor, "*B T V"]:
        """Logits.

        :param past: keys and values of the tokens before these (:class:`KeyValueCache`), to which these are added.
        """
        if past is None:
            return self.run_from(self.run_to(tokens, self.config.n_layers), self.config.n_layers)
        index = torch.arange(past.length, past.length + tokens.shape[-1], device=tokens.device)
        at = self.positions(index)
        resid = self.start(tokens, at)
        for block in self.layers:
            resid = block(resid, at, past=past)
        return self.unembed(resid)

    def run_to(self, tokens: Int[Tensor, "*B T"], layer: int) -> Float[Tensor, "*B T D"]:
        """The residual stream that layer ``layer`` reads (``L{layer}.resid_pre``); ``n_layers`` gives the last one."""
        at = self.positions(tokens.shape[-1])
        resid = self.start(tokens, at)
        for block in self.layers[:layer]:
            resid = block(resid, at)
        return resid

    def run_from(self, resid: Float[Tensor, "*B T D"], layer: int) -> Float[Tensor, "*B T V"]:
        """Logits from what layer ``layer`` reads: ``run_from(run_to(tokens, l), l) == forward(tokens)``."""
        at = self.positions(resid.shape[-2])
        for block in self.layers[layer:]:
            resid = block(resid, at)
        return self.unembed(resid)

    def run_with_cache(
        self,
        tokens: Int[Tensor, "*B T"],
        names: str | Iterable[str] | None = None,
        edits: Edits | None = None,
        *,
        stop_at: int | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> tuple[Float[Tensor, "*B T V"], ActivationCache]:
        """Logits and named activations.

        :param names: which activations or components (``toulmin.subjects.names``), or patterns: ``L*.z``, ``L0.H*``;
            default every activation but ``result``, which the cache computes from ``z`` when it is looked up.
        :param edits: functions by name or pattern; each replaces that activation by what it returns, and the pass goes
            on.
        :param stop_at: stop before this layer, and return the residual stream that it reads instead of logits.
        :param max_bytes: how much memory the activations may take.
        :raises FaultError: (``subjects.name``) for every unknown name, and every one that a pass which stops early
            does not reach; (``subjects.cache_size``) where the activations would take more than ``max_bytes``.
        """
        config, edits = self.config, edits or {}
        end = config.n_layers if stop_at is None else stop_at
        wanted = [names] if isinstance(names, str) else list(names or ())
        find_names([*wanted, *edits], config)
        asked = default_names(config) if names is None else find_names(wanted, config)
        edits = {name: edit for pattern, edit in edits.items() for name in find_names([pattern], config)}
        late = self._unreached([*asked, *edits], stop_at)
        if names is None:
            asked = [name for name in asked if name not in late]
            late &= edits.keys()
        if late:
            text = f"the pass stops before layer {end}, and does not reach it"
            raise FaultError([Fault("subjects.name", text, name=name) for name in [*asked, *edits] if name in late])
        check_size(config, asked, tokens, self.W_E.element_size(), max_bytes)
        hook = Recorder(asked, edits)
        at = self.positions(tokens.shape[-1])
        resid = self.start(tokens, at, hook)
        for block in self.layers[:end]:
            resid = block(resid, at, hook)
        out = resid if stop_at is not None else self.unembed(resid, hook)
        return out, ActivationCache(asked, hook.kept, self)

    def _unreached(self, names: Iterable[str], stop_at: int | None) -> set[str]:
        """Names that a pass which stops before layer ``stop_at`` does not compute.

        :raises FaultError: (``subjects.layer``) there is no such layer.
        """
        if stop_at is None:
            return set()
        if not 0 <= stop_at <= self.config.n_layers:
            text = f"stop_at = {stop_at}, and the model has layers 0 to {self.config.n_layers - 1}"
            raise FaultError(Fault("subjects.layer", text))
        early = ("embed", "pos_embed", *(f"L{layer}" for layer in range(stop_at)))
        return {name for name in names if name.partition(".")[0] not in early}
