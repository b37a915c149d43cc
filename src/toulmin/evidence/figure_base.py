"""What all figures share: frozen, no unknown fields, arrays accepted as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator


def _plain(value: Any) -> Any:
    """Arrays and numpy scalars as Python numbers, inside containers too."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


class FigurePart(BaseModel):
    """A frozen model that takes numpy arrays and scalars wherever it takes numbers."""

    # deferred: a record without figures, or none at all, costs no validators
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_arrays(cls, data: Any) -> Any:
        return _plain(data)


class FigureBase(FigurePart):
    """``title``; ``caption``, what the figure shows in a sentence; ``alt``, the same for who cannot see it.

    A notebook draws it.
    """

    title: str = Field(min_length=1)
    caption: str = ""
    alt: str = ""

    def _repr_html_(self) -> str:
        from toulmin.evidence.display import figure_as_html

        return figure_as_html(self)

    def save(self, path: str | Path) -> Path:
        """Write the figure to ``path``: the page with it drawn (``.html``), or its data (``.json``).

        :raises FaultError: another suffix, a folder that does not exist, or the figure cannot be drawn.
        """
        from toulmin.evidence.display import save_figure

        return save_figure(path, self)
