"""Checks the shapes and element types of tensors against their jaxtyping annotations while tests run.

Only annotations that name a jaxtyping array type are checked. The others may name classes that are imported for type
checkers alone, which cannot be resolved at run time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_ARRAY = re.compile(r"\b(Float|Int|Bool|Num|Complex|Shaped|UInt|Inexact)\[")
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with those of its annotations checked that are arrays."""
    kept: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if isinstance(annotation, str):
            if not _ARRAY.search(annotation):
                continue
            try:
                annotation = eval(annotation, function.__globals__)
            except NameError:
                continue
        if "jaxtyping" in repr(type(annotation)) + repr(getattr(annotation, "__module__", "")):
            kept[name] = annotation
    function.__annotations__ = kept
    return _check(function)
