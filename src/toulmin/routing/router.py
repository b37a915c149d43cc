"""The router: a plan put to work on a model in a plain training loop.

    router = Router(model, plan)
    with router(labels=labels):
        loss = loss_fn(model(x))
    loss.backward()

Hooks stand where the plan says, and do nothing outside the ``with`` block. An activation route acts through the graph
of the forward pass, data point by data point. A parameter route acts when a parameter's gradient arrives, and must know
then which batch it comes from: the router notes the labels of every forward pass of the model that waits for its
backward pass. Where two with different labels wait, or the labels of one batch differ, one gradient cannot be split any
more, and that is an error: :meth:`Router.backward` takes the losses one by one, and makes one backward pass a label.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from toulmin.faults import Fault, FaultError
from toulmin.routing.gates import Gates
from toulmin.routing.hooks import MethodHook, RootHook, SiteHook
from toulmin.routing.labels import Labels, Strengths, read_labels
from toulmin.routing.places import find_sites, mlp_layout, unwrap
from toulmin.routing.plan import Route, RoutePlan

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from toulmin.routing.audit import Audit
    from toulmin.routing.blocking import BlockedUpdates


class Router:
    """Routes the gradients of ``model`` by ``plan``.

    :param model: the module that is called: where it is compiled or distributed, the compiled or distributed one.
    :param pas: the chance that a labelled batch also trains the rest (is treated as unlabelled); drawn for each block.
    :param seed: of that draw.
    :raises FaultError: (all faults) a route matches nothing (``routing.no_match``, with the nearest names), its
        dimensions are not there (``routing.dims``), regions share dimensions (``routing.overlap``).
    """

    def __init__(self, model: nn.Module, plan: RoutePlan, *, pas: float = 0.0, seed: int = 0) -> None:
        if not 0 <= pas <= 1:
            raise FaultError(Fault("routing.pas", f"a chance lies between 0 and 1, not {pas}", name="pas"))
        self.model, self.plan, self.pas = model, plan, pas
        self.draws = torch.Generator().manual_seed(seed)
        self.strengths: Strengths | None = None
        self.blocked: BlockedUpdates | None = None
        self._waiting: dict[tuple[float, ...] | None, Strengths | None] = {}
        self._consumed = False
        self._latest: Strengths | None = None
        self._only: Tensor | None = None
        self._removers: list[Callable[[], Any]] = []
        inner = unwrap(model)
        faults: list[Fault] = []
        sites: dict[str, list[Route]] = {}
        for route in plan.routes:
            if route.kind == "parameter":
                continue
            found, wrong = find_sites(inner, route)
            faults += wrong
            for name in found:
                sites.setdefault(name, []).append(route)
        modules = dict(inner.named_modules())
        hooks: dict[str, SiteHook] = {}
        self.gates = Gates(plan.all_labels)
        for build in (lambda: self._build_sites(sites, modules, hooks), lambda: self._build_gates(inner)):
            try:
                build()
            except FaultError as error:
                faults += error.faults
        if faults:
            raise FaultError(list(dict.fromkeys(faults)))
        for name, hook in hooks.items():
            owner, _, method = name.partition(":")
            module = modules[owner]
            if method:
                wrapped = MethodHook(module, method, hook)
                module.__dict__[method] = wrapped
                self._removers.append(wrapped.remove)
            else:
                self._removers.append(module.register_forward_hook(hook).remove)
        if self.gates.names:
            self._removers.append(model.register_forward_pre_hook(RootHook(self)).remove)
            for name, parameter in inner.named_parameters():
                if name in self.gates.names and parameter.requires_grad:
                    self._removers.append(parameter.register_hook(self._gate_hook(name)).remove)

    def _build_sites(
        self, sites: Mapping[str, list[Route]], modules: Mapping[str, nn.Module], hooks: dict[str, SiteHook]
    ) -> None:
        faults: list[Fault] = []
        for name, routes in sites.items():
            hooks[name] = SiteHook(self, name, routes)
            size = _known_size(name, modules)
            if size is not None:
                try:
                    hooks[name].routes_at(size)
                except FaultError as error:
                    faults += error.faults
        if faults:
            raise FaultError(faults)

    def _build_gates(self, inner: nn.Module) -> None:
        self.gates = Gates.build(inner, self.plan)

    # -- routing a batch -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def __call__(self, labels: Labels = None) -> Generator[Router]:
        """Route what runs in the block: the batch has these labels (:func:`read_labels` says in which forms).

        :raises FaultError: (``routing.labels``) labels that the plan does not know.
        """
        strengths = read_labels(labels, self.plan)
        if self.pas and float(torch.rand((), generator=self.draws)) < self.pas:
            strengths = _without_regions(strengths)
        before, self.strengths = self.strengths, strengths
        self._latest = strengths
        try:
            yield self
        except BaseException:
            self._waiting.clear()  # what ran in the block gets no backward pass
            raise
        finally:
            self.strengths = before

    def note_forward(self) -> None:
        """A forward pass of the model begins, and may be followed by a backward pass."""
        if not torch.is_grad_enabled():
            return
        if self._consumed:
            self._waiting.clear()
            self._consumed = False
        self._waiting[_key(self.strengths)] = self.strengths

    def backward(self, losses: Tensor) -> Tensor:
        """Backward from the mean of ``losses`` (B,) or (B, T), one loss a data point, one backward pass a label.

        For parameter routes and forward masks of batches in which labels differ; the labels are those of the last
        block. Returns the mean, detached.

        :raises FaultError: (``routing.labels``) the losses are not one for each label.
        """
        strengths = self._latest
        if strengths is None or (strengths.lead and losses.shape != strengths.values.shape[:-1]):
            shape = None if strengths is None else tuple(strengths.values.shape[:-1])
            text = f"losses of shape {tuple(losses.shape)} for labels of shape {shape}"
            raise FaultError(Fault("routing.labels", text))
        shares = strengths.values.to(device=losses.device, dtype=losses.dtype).expand(*losses.shape, -1)
        parts = {k: shares[..., k] for k in self.gates.by_label if bool((shares[..., k] > 0).any())}
        rest = 1 - sum(parts.values(), torch.zeros_like(losses))
        pieces: list[tuple[int | None, Tensor]] = [*parts.items()]
        if bool((rest > 1e-6).any()) or not pieces:
            pieces.append((None, rest))
        try:
            for i, (k, share) in enumerate(pieces):
                self._only = torch.zeros(len(self.plan.all_labels))
                if k is not None:
                    self._only[k] = 1.0
                ((losses * share).sum() / losses.numel()).backward(retain_graph=i < len(pieces) - 1)
        finally:
            self._only = None
        return losses.detach().mean()

    def _gate_hook(self, name: str) -> Callable[[Tensor], Tensor | None]:
        def hook(gradient: Tensor) -> Tensor | None:
            strengths = self._of_this_backward()
            gate = None if strengths is None else self.gates.gate(name, strengths)
            if self.blocked is not None:
                self.blocked.note(name, None if gate is None else gate.weights)
            return None if gate is None else gate.weigh(gradient)

        return hook

    def _of_this_backward(self) -> Tensor | None:
        """The strengths of the batch whose gradients arrive."""
        if self._only is not None:
            self._consumed = True
            return self._only
        waiting = self._waiting or {_key(self._latest): self._latest}
        if len(waiting) > 1:
            hint = "call backward() after each forward pass, and run evaluations under torch.no_grad()"
            text = "forward passes with different labels wait for this backward pass"
            raise FaultError(Fault("routing.two_batches", text, hint=hint))
        (strengths,) = waiting.values()
        self._consumed = True
        if strengths is None:
            return None
        if strengths.uniform is None:
            hint = "give router.backward() the losses of the data points, or batches of one label"
            text = "the labels of the batch differ, and a parameter route needs the gradient of each label"
            raise FaultError(Fault("routing.mixed_labels", text, hint=hint))
        return strengths.uniform

    # -- the rest ---------------------------------------------------------------------------------------------------

    def block_updates(self, optimizer: Optimizer) -> BlockedUpdates:
        """Keep ``optimizer`` from moving what a step's labels exclude: see :class:`BlockedUpdates`."""
        from toulmin.routing.blocking import BlockedUpdates

        self.blocked = BlockedUpdates(dict(unwrap(self.model).named_parameters()), optimizer)
        self._removers.append(self.blocked.remove)
        return self.blocked

    def audit(
        self,
        batches: Mapping[str, Any],
        loss: Callable[[nn.Module, Any], Tensor],
        optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None,
    ) -> Audit:
        """Where the gradient and the update of each label's batch go: see :func:`toulmin.routing.audit.audit`."""
        from toulmin.routing.audit import audit

        return audit(self, batches, loss, optimizer)

    def remove(self) -> None:
        """Take every hook off the model; hooks of others stay."""
        while self._removers:
            self._removers.pop()()
        self.blocked = None


def _key(strengths: Strengths | None) -> tuple[float, ...] | None:
    """What tells batches apart for parameter routes; every mixed batch is another."""
    if strengths is None:
        return None
    return (float(id(strengths)),) if strengths.uniform is None else tuple(strengths.uniform.tolist())


def _without_regions(strengths: Strengths) -> Strengths:
    def cleared(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        values = values.clone()
        values[..., :-1] = 0
        return values

    values = cleared(strengths.values)
    assert values is not None
    return Strengths(values, cleared(strengths.uniform))


def _known_size(site: str, modules: Mapping[str, nn.Module]) -> int | None:
    """How many dimensions a site has, where the model says so before it runs."""
    owner, _, method = site.partition(":")
    module = modules[owner]
    if isinstance(module, nn.Linear | nn.LazyLinear):
        return module.weight.shape[0]
    parent = module if method else modules[owner.rpartition(".")[0]]
    layout = mlp_layout(parent)
    hidden = {dict(parent.named_parameters())[n].shape[a] for n, a in (layout or {}).items() if a is not None}
    inside_mlp = method in ("pre", "post") or (not method and not list(module.parameters()))
    return hidden.pop() if inside_mlp and len(hidden) == 1 else None
