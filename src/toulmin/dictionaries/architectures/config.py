"""The shape of a dictionary, as plain data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from toulmin.faults import Fault, FaultError, has_field_type

Kind = Literal["relu", "topk", "batch_topk", "jumprelu", "matryoshka", "gated"]
Normalised = Literal["forward", "none"]
Start = Literal["reference", "tied"]


@dataclass(frozen=True)
class DictionaryConfig:
    """What kind of dictionary, and how large.

    :param kind: the activation function: ``relu`` (the SAE of Braun et al. 2024), ``topk`` (Gao et al. 2024),
        ``batch_topk`` (Bussmann et al. 2024), ``jumprelu`` (Rajamanoharan et al. 2024), ``matryoshka`` (Bussmann et al.
        2025: BatchTopK whose first features must reconstruct alone), ``gated`` (Rajamanoharan et al. 2024; can be
        loaded and used, not trained).
    :param d_in: width of what it reads.
    :param n_features: F, the number of features.
    :param d_out: width of what it writes, where that differs (transcoders).
    :param k: features active on a token, on average over the batch for ``batch_topk`` and ``matryoshka``.
    :param prefixes: numbers of features of the nested dictionaries of ``matryoshka``; the last is F.
    :param skip: adds x W_skip to the output: a transcoder with a skip connection (Paulo et al. 2025).
    :param normalised: ``forward`` divides each decoder row by its norm in every forward pass, so that gradients flow
        through the norm (the reference SAE); ``none`` uses the rows as they are.
    :param input_bias: whether b_dec is subtracted from the input before encoding.
    :param start: ``reference`` draws the encoder as ``nn.Linear`` does and makes the decoder orthogonal, as the
        reference code does; ``tied`` starts the encoder as the transpose of the decoder.
    :param bandwidth: width of the kernel that gives ``jumprelu``'s threshold a gradient.
    :param threshold: where ``jumprelu``'s thresholds start.
    :raises FaultError: (``dictionaries.config``) every value that cannot be.
    """

    kind: Kind
    d_in: int
    n_features: int
    d_out: int | None = None
    k: int | None = None
    prefixes: tuple[int, ...] = ()
    skip: bool = False
    normalised: Normalised = "forward"
    input_bias: bool = False
    start: Start = "reference"
    bandwidth: float = 0.001
    threshold: float = 0.01

    def __post_init__(self) -> None:
        counted = self.kind in ("topk", "batch_topk", "matryoshka")
        nested = self.kind == "matryoshka"
        good_prefixes = list(self.prefixes) == sorted(set(self.prefixes)) and self.prefixes[-1:] == (self.n_features,)
        checks = [
            (self.kind in get_args(Kind), "kind", f"is one of {', '.join(get_args(Kind))}"),
            (self.normalised in get_args(Normalised), "normalised", "is forward or none"),
            (self.start in get_args(Start), "start", "is reference or tied"),
            (self.d_in >= 1, "d_in", "must be at least 1"),
            (self.d_out is None or self.d_out >= 1, "d_out", "must be at least 1"),
            (self.n_features >= 1, "n_features", "must be at least 1"),
            (not counted or self.k is not None, "k", f"{self.kind} needs it"),
            (self.k is None or counted, "k", "belongs to topk, batch_topk and matryoshka"),
            (self.k is None or 1 <= self.k <= self.n_features, "k", "is from 1 to n_features"),
            (not nested or good_prefixes, "prefixes", "ascend and end with n_features"),
            (nested or not self.prefixes, "prefixes", "belong to matryoshka"),
            (self.start == "reference" or self.width_out == self.d_in, "start", "tied needs d_out = d_in"),
            (not self.input_bias or self.width_out == self.d_in, "input_bias", "needs d_out = d_in"),
            (math.isfinite(self.bandwidth) and self.bandwidth > 0, "bandwidth", "must be positive"),
            (math.isfinite(self.threshold) and self.threshold > 0, "threshold", "must be positive"),
        ]
        faults = [Fault("dictionaries.config", text, name=name) for good, name, text in checks if not good]
        if faults:
            raise FaultError(faults)

    @property
    def width_out(self) -> int:
        """Width of what it writes."""
        return self.d_in if self.d_out is None else self.d_out

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: what is not the default, and the required values."""
        values = dataclasses.asdict(self)
        kept = {
            field.name: values[field.name]
            for field in dataclasses.fields(self)
            if field.default is dataclasses.MISSING or values[field.name] != field.default
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str | None = None) -> DictionaryConfig:
        """The inverse of :meth:`to_dict`.

        :raises FaultError: (``dictionaries.config``) unknown or missing keys, wrong types and impossible values.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        faults = [Fault("dictionaries.config", "unknown key", file, name=str(n)) for n in values if n not in fields]
        for name, field in fields.items():
            if name not in values:
                if field.default is dataclasses.MISSING:
                    faults.append(Fault("dictionaries.config", "missing key", file, name=name))
            elif not has_field_type(values[name], str(field.type)):
                text = f"expected {field.type}, got {values[name]!r:.60}"
                faults.append(Fault("dictionaries.config", text, file, name=name))
        if faults:
            raise FaultError(faults)
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**given)
