"""The shape of a :class:`~toulmin.subjects.Transformer`, as one frozen record.

Every architecture is a choice of features from this list; a family (GPT-2, Llama, Gemma …) is a row of such choices,
never a class of its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from toulmin.faults import ExitCode, Fault, FaultError, has_field_type

Positional = Literal["learned", "shortformer", "rotary", "alibi", "none"]
Norm = Literal["layer", "rms", "none"]
Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]

MAX_LAYERS = 1000
MAX_WIDTH = 2**24
BIASES = ("q", "k", "v", "o", "mlp", "unembed")


@dataclass(frozen=True)
class RotaryScaling:
    """How rotary frequencies are stretched beyond the trained context.

    ``kind="linear"`` divides every frequency by ``factor``. ``kind="llama3"`` divides the low frequencies (wavelength
    above ``original_context / low_freq_factor``) by ``factor``, leaves the high ones (wavelength below
    ``original_context / high_freq_factor``) alone, and interpolates between (Llama 3.1). ``kind="yarn"`` (Peng et al.
    2023) divides the frequencies that turn less than ``beta_slow`` times within the original context, leaves those
    alone that turn more than ``beta_fast`` times, interpolates linearly in the index of the dimension between, the two
    ends rounded outwards to whole indices where ``truncate``, and multiplies cosines and sines by ``amplitude``.
    """

    kind: Literal["linear", "llama3", "yarn"] = "linear"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    amplitude: float = 1.0
    truncate: bool = True


@dataclass(frozen=True)
class TransformerConfig:
    """The hyperparameters of a decoder. The defaults are those of a GPT-2: learned positions, LayerNorm, GELU, biases.

    :param d_mlp: width F of the MLP; 0 means attention-only.
    :param n_kv_heads: key/value heads (grouped-query attention); default ``n_heads``. Query head h reads key/value
        head ``h // (n_heads // n_kv_heads)``.
    :param d_vocab_out: width of the logits; default ``d_vocab``.
    :param positions: ``learned`` adds W_pos to the residual stream; ``shortformer`` adds it to the normalised input of
        Q and K only (Press et al. 2021); ``rotary`` turns Q and K; ``alibi`` adds a distance penalty to the scores.
    :param norm: LayerNorm, RMSNorm, or none; ``norm_eps`` is inside the square root.
    :param pre_norms: normalise what attention and MLP read (all but OLMo-2 and -3).
    :param post_norms: normalise what they write (Gemma-2 and -3, OLMo-2 and -3).
    :param qk_norm: RMSNorm of each query and key before rotation (Qwen3, Gemma-3), over E.
    :param qk_norm_joint: over the queries of all heads together, and over the keys of all heads together (OLMo-2).
    :param n_experts: experts of which the MLP consists, of F / n_experts neurons each; 0 for a plain MLP.
    :param experts_per_token: how many experts a token is given, those of the largest router probability.
    :param normalise_routing: their weights are divided by their sum.
    :param gated: MLP is ``(act(x W_gate) * (x W_in)) W_out``.
    :param biases: which bias vectors exist, of ``q k v o mlp unembed``.
    :param tied: W_U is the transpose of W_E.
    :param parallel: attention and MLP both read ``resid_pre`` (GPT-NeoX).
    :param windows: for each layer how many positions back (itself included) a query may look; ``None`` is unlimited.
    :param attn_scale: factor on the scores; default ``d_head ** -0.5``.
    :param attn_softcap: scores become ``c tanh(scores / c)``; ``logit_softcap`` the same for the logits.
    :param rotary_dim: how many of the E dimensions are rotated; default all.
    :param unrotated_layers: numbers of the layers without rotation (SmolLM3: every fourth).
    :param rotary_interleaved: pairs are (0,1), (2,3)… (llama2.c) instead of (0, E/2), (1, E/2+1)… (Hugging Face).
    :param rotary_local_base: base of the layers that have a window, where it differs (Gemma-3).
    :raises FaultError: (``subjects.config``, one fault per field) where the values contradict one another.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_vocab: int
    n_ctx: int
    d_mlp: int = 0
    n_kv_heads: int | None = None
    d_vocab_out: int | None = None
    positions: Positional = "learned"
    norm: Norm = "layer"
    norm_eps: float = 1e-5
    pre_norms: bool = True
    post_norms: bool = False
    qk_norm: bool = False
    qk_norm_joint: bool = False
    activation: Activation = "gelu_tanh"
    gated: bool = False
    n_experts: int = 0
    experts_per_token: int = 0
    normalise_routing: bool = False
    biases: tuple[str, ...] = BIASES
    tied: bool = False
    parallel: bool = False
    causal: bool = True
    windows: tuple[int | None, ...] | None = None
    embed_scale: float = 1.0
    attn_scale: float | None = None
    attn_softcap: float | None = None
    logit_softcap: float | None = None
    rotary_base: float = 10_000.0
    rotary_dim: int | None = None
    rotary_interleaved: bool = False
    rotary_scaling: RotaryScaling | None = None
    rotary_local_base: float | None = None
    unrotated_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        faults = list(_check(self))
        if faults:
            raise FaultError(faults, ExitCode.SUBJECT)

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads."""
        return self.n_kv_heads or self.n_heads

    @property
    def group(self) -> int:
        """Query heads per key/value head."""
        return self.n_heads // self.kv_heads

    @property
    def vocab_out(self) -> int:
        """Number of logits per position."""
        return self.d_vocab_out or self.d_vocab

    @property
    def scale(self) -> float:
        """Factor on the attention scores."""
        return self.attn_scale if self.attn_scale is not None else 1.0 / math.sqrt(self.d_head)

    @property
    def additive(self) -> bool:
        """Whether each head's output enters the residual stream on its own (false with post-norms)."""
        return not self.post_norms

    def window(self, layer: int) -> int | None:
        """How far back layer ``layer`` looks, or None."""
        return self.windows[layer] if self.windows is not None else None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, only what differs from the defaults and the required sizes."""
        values = dataclasses.asdict(self)
        return {
            field.name: values[field.name]
            for field in dataclasses.fields(self)
            if field.default is dataclasses.MISSING or getattr(self, field.name) != field.default
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str | None = None) -> TransformerConfig:
        """The inverse of :meth:`to_dict`.

        :raises FaultError: (``subjects.config``) for every unknown key, missing key and wrong type.
        """
        faults: list[Fault] = []
        kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                faults.append(Fault("subjects.config", "unknown key", file, name=name))
            elif not (
                value is None or isinstance(value, (Mapping, RotaryScaling))
                if name == "rotary_scaling"
                else has_field_type(value, kinds[name])
            ):
                faults.append(Fault("subjects.config", f"expected {kinds[name]}, got {value!r:.60}", file, name=name))
        for field in dataclasses.fields(cls):
            if field.default is dataclasses.MISSING and field.name not in values:
                faults.append(Fault("subjects.config", "missing key", file, name=field.name))
        if faults:
            raise FaultError(faults, ExitCode.SUBJECT)
        plain = dict(values)
        for name in ("biases", "windows", "unrotated_layers"):
            if isinstance(plain.get(name), list):
                plain[name] = tuple(plain[name])
        if isinstance(plain.get("rotary_scaling"), Mapping):
            try:
                plain["rotary_scaling"] = RotaryScaling(**plain["rotary_scaling"])
            except TypeError as error:
                raise FaultError(
                    Fault("subjects.config", str(error), file, name="rotary_scaling"), ExitCode.SUBJECT
                ) from None
        return cls(**plain)


def _check(config: TransformerConfig) -> Iterator[Fault]:
    def fault(name: str, message: str) -> Fault:
        return Fault("subjects.config", message, name=name)

    for name in ("n_layers", "d_model", "n_heads", "d_head", "d_vocab", "n_ctx"):
        if getattr(config, name) < 1:
            yield fault(name, f"must be at least 1, is {getattr(config, name)}")
    if config.n_layers > MAX_LAYERS:
        yield fault("n_layers", f"must be at most {MAX_LAYERS}, is {config.n_layers}")
    if config.d_mlp < 0:
        yield fault("d_mlp", f"must be at least 0, is {config.d_mlp}")
    for name in ("d_model", "d_vocab", "n_ctx", "d_mlp", "d_vocab_out"):
        if (getattr(config, name) or 0) > MAX_WIDTH:
            yield fault(name, f"must be at most {MAX_WIDTH}, is {getattr(config, name)}")
    if config.n_heads * config.d_head > MAX_WIDTH:
        yield fault("d_head", f"{config.n_heads} heads of {config.d_head} are wider than {MAX_WIDTH}")
    for name in ("n_kv_heads", "d_vocab_out"):
        value = getattr(config, name)
        if value is not None and value < 1:
            yield fault(name, f"must be at least 1, is {value}")
    kv_heads = config.n_kv_heads or config.n_heads
    if kv_heads > 0 and config.n_heads % kv_heads:
        yield fault("n_kv_heads", f"{kv_heads} key/value heads do not divide {config.n_heads} heads")
    for name, choices in (("positions", Positional), ("norm", Norm), ("activation", Activation)):
        if getattr(config, name) not in get_args(choices):
            yield fault(name, f"{getattr(config, name)!r} is not one of {', '.join(get_args(choices))}")
    for bias in config.biases:
        if bias not in BIASES:
            yield fault("biases", f"{bias!r} is not one of {', '.join(BIASES)}")
    if config.windows is not None:
        if len(config.windows) != config.n_layers:
            yield fault("windows", f"{len(config.windows)} entries for {config.n_layers} layers")
        if any(window is not None and window < 1 for window in config.windows):
            yield fault("windows", "a window must be at least 1")
    if not set(config.unrotated_layers) <= set(range(min(config.n_layers, MAX_LAYERS))):
        yield fault("unrotated_layers", f"{list(config.unrotated_layers)[:9]} are not all layers of {config.n_layers}")
    if config.qk_norm_joint and not config.qk_norm:
        yield fault("qk_norm_joint", "there is no qk_norm")
    if config.n_experts < 0 or (config.n_experts and config.d_mlp % config.n_experts):
        yield fault("n_experts", f"{config.n_experts} experts do not divide {config.d_mlp} neurons")
    if not (0 < config.experts_per_token <= config.n_experts or config.experts_per_token == config.n_experts == 0):
        yield fault("experts_per_token", f"{config.experts_per_token} of {config.n_experts} experts")
    rotary_dim = config.d_head if config.rotary_dim is None else config.rotary_dim
    if config.positions == "rotary" and not (0 < rotary_dim <= config.d_head and rotary_dim % 2 == 0):
        yield fault("rotary_dim", f"must be even and at most d_head {config.d_head}, is {rotary_dim}")
    if config.tied and config.vocab_out != config.d_vocab:
        yield fault("tied", "tied embeddings need as many logits as tokens")
