"""The settings of a Hugging Face ``config.json``, read strictly: each one of a wrong type is a fault, all collected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import MAX_LAYERS, RotaryScaling

_REQUIRED: Any = object()
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Settings:
    """Typed access to a parsed ``config.json``; :meth:`finish` raises every fault met on the way.

    After a fault a getter returns a harmless value, so that the rest is still checked. A setting that is ``null``
    counts as absent where it has a default.
    """

    def __init__(self, values: Mapping[str, Any], file: str | None) -> None:
        self._values, self._file, self._faults = dict(values), file, dict[str, Fault]()

    def finish(self) -> None:
        """:raises FaultError: (``subjects.setting``, exit code SUBJECT) if any setting was missing or wrong."""
        if self._faults:
            raise FaultError(list(self._faults.values()), ExitCode.SUBJECT)

    def fault(self, name: str, message: str) -> None:
        """Note that a setting is wrong."""
        self._faults.setdefault(name, Fault("subjects.setting", message, self._file, name=name))

    def has(self, *names: str) -> bool:
        """Whether any of these is given."""
        return any(self._values.get(name) is not None for name in names)

    def assume(self, name: str, value: object) -> None:
        """A default that depends on other settings."""
        self._values[name] = value

    def integer(self, name: str, default: int | None = _REQUIRED) -> Any:
        """A whole number of at least 1."""
        value = self._get(name, default)
        if value is default and default is not _REQUIRED:
            return value
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
            return self._wrong(name, value, "a whole number of at least 1", 1)
        return value

    def number(self, name: str, default: float | None = _REQUIRED) -> Any:
        """A finite positive number."""
        return self._positive(name, self._get(name, default), default)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._get(name, default)
        return value if isinstance(value, bool) else self._wrong(name, value, "true or false", default)

    def flags(self, name: str, layers: int) -> tuple[bool, ...] | None:
        """A list with one flag (or 0 or 1) for each layer."""
        value = self._get(name, None)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != layers or any(flag not in (0, 1) for flag in value):
            return self._wrong(name, value, f"a list of {layers} times 0 or 1", None)
        return tuple(bool(flag) for flag in value)

    def refuse(self, *names: str) -> None:
        """Settings that would change the computation in a way that is not supported."""
        for name in names:
            if self._values.get(name):
                self.fault(name, f"{self._values[name]!r:.40} is not supported")

    def activation(self, name: str, default: str, others: Mapping[str, str] | None = None) -> str:
        """Our name of an activation function."""
        value = self._get(name, default)
        known = _ACTIVATIONS | dict(others or {})
        if not isinstance(value, str) or value not in known:
            return self._wrong(name, value, "one of " + ", ".join(sorted(known)), "gelu")
        return known[value]

    def divide(self, whole: str, parts: str) -> int:
        """``whole / parts``, which must be whole."""
        a, b = self.integer(whole), self.integer(parts)
        if a % b:
            self.fault(whole, f"{a} is not divisible by {parts} {b}")
        return max(a // b, 1)

    def bounded_layers(self, layers: int) -> int:
        """The number of layers, bounded so that a corrupt one cannot exhaust memory (the config reports it)."""
        return min(layers, MAX_LAYERS)

    def layer_kinds(self, name: str, layers: int) -> list[str] | None:
        """A list with one word for each layer."""
        value = self._get(name, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value) or len(value) != layers:
            return self._wrong(name, value, f"a list of {layers} words", None)
        for kind in sorted(set(value) - {"full_attention", "sliding_attention", "global", "local"}):
            self.fault(name, f"attention of kind {kind!r:.40} is not supported")
        return value

    def repeated_kinds(self, name: str, layers: int) -> list[str] | None:
        """GPT-Neo's ``[[["global", "local"], 12]]`` written out."""
        value = self._get(name, None)
        if value is None:
            return None
        kinds: list[str] = []
        try:
            for words, count in value:
                kinds += list(words) * min(int(count), MAX_LAYERS)
        except (TypeError, ValueError):
            kinds = []
        if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
            return self._wrong(name, value, f"[[words, count], …] for {layers} layers", None)
        return kinds

    def _rope(self, kind: str | None = None) -> Mapping[str, Any]:
        """The table of rotary parameters, under its new or old name; nested by attention kind in some models."""
        for name in ("rope_parameters", "rope_scaling"):
            value = self._values.get(name)
            if value is None:
                continue
            if kind is not None and isinstance(value, Mapping) and isinstance(value.get(kind), Mapping):
                value = value[kind]
            if isinstance(value, Mapping):
                return value
            self._wrong(name, value, "a table", None)
        return {}

    def rope_number(self, name: str, default: float, kind: str | None = None) -> float:
        """A positive number of the rotary table."""
        return self._positive(f"rope_parameters.{name}", self._rope(kind).get(name, default), default)

    def refuse_scaling(self, kind: str) -> None:
        """Refuse rotary scaling of the layers of one kind of attention, where it is given for each kind."""
        if self._rope(kind) is not self._rope() and self.rope_scaling(kind) is not None:
            self.fault(f"rope_parameters.{kind}", "rotary scaling of these layers is not supported")

    def rope_scaling(self, kind: str | None = None) -> RotaryScaling | None:
        """How frequencies are scaled; None for the default."""
        table = self._rope(kind)
        form = table.get("rope_type", table.get("type", "default"))

        def number(name: str, default: float | None = _REQUIRED) -> float:
            value = table.get(name, default)
            value = default if value is None and default is not _REQUIRED else value
            return self._positive(f"rope_parameters.{name}", None if value is _REQUIRED else value, _REQUIRED)

        if form == "default":
            return None
        if form == "linear":
            return RotaryScaling("linear", number("factor"))
        if form == "llama3":
            return RotaryScaling(
                "llama3",
                number("factor"),
                number("low_freq_factor"),
                number("high_freq_factor"),
                int(number("original_max_position_embeddings")),
            )
        if form == "yarn":
            for name in sorted({"mscale", "mscale_all_dim"} & {key for key, value in table.items() if value}):
                self.fault(f"rope_parameters.{name}", f"{table[name]!r:.40} is not supported")
            factor = number("factor")
            truncate = table.get("truncate", True)
            if not isinstance(truncate, bool):
                truncate = self._wrong("rope_parameters.truncate", truncate, "true or false", True)
            return RotaryScaling(
                "yarn",
                factor,
                original_context=int(number("original_max_position_embeddings")),
                beta_fast=number("beta_fast", 32.0),
                beta_slow=number("beta_slow", 1.0),
                amplitude=number("attention_factor", 0.1 * math.log(max(factor, 1.0)) + 1.0),
                truncate=truncate,
            )
        self.fault("rope_parameters.rope_type", f"rotary scaling {form!r:.40} is not supported")
        return None

    def _get(self, name: str, default: object) -> Any:
        value = self._values.get(name)
        return default if value is None else value

    def _positive(self, name: str, value: object, default: float | None) -> Any:
        if value is default and default is not _REQUIRED:
            return value
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type, operator]
            return self._wrong(name, value, "a positive number", 1.0)
        return float(value)  # type: ignore[arg-type]

    def _wrong(self, name: str, value: object, wanted: str, harmless: Any) -> Any:
        missing = value is _REQUIRED or value is None
        self.fault(name, "missing" if missing else f"expected {wanted}, got {value!r:.60}")
        return harmless
