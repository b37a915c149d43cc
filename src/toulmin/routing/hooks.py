"""Hooks that stand in a model: they survive copying and pickling of the model as functions that do nothing.

A hook belongs to one router and one model. In a copy of the model, and in a file, it does nothing, so that saving and
copying a routed model is safe.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from toulmin.routing.activations import SiteRoutes
from toulmin.routing.plan import Route

if TYPE_CHECKING:
    from toulmin.routing.router import Router


def do_nothing(*_: Any) -> None:
    """What a hook becomes in a copy."""


class _Inert:
    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return do_nothing

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (_get_do_nothing, ())


def _get_do_nothing() -> Callable[..., None]:
    return do_nothing


class SiteHook(_Inert):
    """Routes the output of a module while its router is in a block."""

    def __init__(self, router: Router, name: str, routes: Sequence[Route]) -> None:
        self.router, self.name, self.routes = router, name, routes
        self.built: SiteRoutes | None = None

    def routes_at(self, size: int) -> SiteRoutes:
        """The routes for an output of ``size`` dimensions."""
        if self.built is None or self.built.deltas.shape[1] != size:
            self.built = SiteRoutes.build(self.name, self.routes, self.router.plan, size)
        return self.built

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        """The hook of a module: its first output is routed."""
        if self.router.strengths is None:
            return None
        if isinstance(output, tuple):
            return (self.route(output[0]), *output[1:])
        return self.route(output)

    def route(self, x: Tensor) -> Tensor:
        """The activation as the rest of the model reads it."""
        strengths = self.router.strengths
        if strengths is None:
            return x
        axis = self.routes[0].axis if self.routes[0].axis is not None else -1
        return self.routes_at(x.shape[axis]).apply(x, strengths)


class MethodHook:
    """Stands for a method of a module, and routes what it returns."""

    def __init__(self, module: nn.Module, method: str, hook: SiteHook) -> None:
        self.module, self.method, self.hook = module, method, hook
        self.before = module.__dict__.get(method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The method's result, routed."""
        call = self.before or MethodType(getattr(type(self.module), self.method), self.module)
        return self.hook.route(call(*args, **kwargs))

    def remove(self) -> None:
        """Give the module its own method back."""
        if self.before is None:
            self.module.__dict__.pop(self.method, None)
        else:
            self.module.__dict__[self.method] = self.before

    def __deepcopy__(self, memo: dict[int, Any]) -> MethodType:
        owner = copy.deepcopy(self.module, memo)
        return MethodType(getattr(type(owner), self.method), owner)

    def __reduce__(self) -> tuple[Any, ...]:
        return (getattr, (self.module, self.method))


class RootHook(_Inert):
    """Tells a router that a forward pass of its model begins."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def __call__(self, module: nn.Module, args: Any) -> None:
        """The pre-hook of the model."""
        self.router.note_forward()
