"""The state of a training run as one object that can be saved and restored."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from toulmin.faults import ExitCode, Fault, FaultError

Json = dict[str, Any]


class State:
    """Module, optimizers, generators and loose tensors, with the number of updates done.

    ``module`` may be an ``nn.ModuleDict`` of several; ``optimizer`` one or a mapping by name; ``generators`` are
    those the step draws from; ``tensors`` are buffers that belong to no module (a running mean, a count of dead
    features). :meth:`export` and :meth:`restore` turn all of it, and the global random states of Python, NumPy and
    torch, into tensors + JSON and back.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        *,
        generators: Mapping[str, torch.Generator] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.module = module
        self.optimizers = {"main": optimizer} if isinstance(optimizer, Optimizer) else dict(optimizer)
        self.generators = dict(generators or {})
        self.tensors = dict(tensors or {})
        self.step = 0

    @property
    def optimizer(self) -> Optimizer:
        """The only optimizer, or the one called ``main``."""
        return self.optimizers["main"] if len(self.optimizers) != 1 else next(iter(self.optimizers.values()))

    def set_lr(self, lr: float) -> None:
        """Give every parameter group the learning rate ``lr`` (times its ``lr_scale``, if it has one)."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = lr * group.get("lr_scale", 1.0)

    def export(self) -> tuple[dict[str, Tensor], Json]:
        """All of the state as (tensors, JSON); the tensors are copies on the CPU."""
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"tensors.{name}": value for name, value in self.tensors.items()}
        tensors |= {f"generator.{name}": value.get_state() for name, value in self.generators.items()}
        tensors["random.torch"] = torch.get_rng_state()
        if torch.cuda.is_available():
            for device, value in enumerate(torch.cuda.get_rng_state_all()):
                tensors[f"random.cuda.{device}"] = value
        optimizers: Json = {}
        for name, optimizer in self.optimizers.items():
            kept = optimizer.state_dict()
            scalars: Json = {}
            for index, slots in kept["state"].items():
                for slot, value in slots.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimizer.{name}.{index}.{slot}"] = value
                    else:
                        scalars.setdefault(str(index), {})[slot] = value
            optimizers[name] = {"param_groups": kept["param_groups"], "scalars": scalars}
        # the legacy NumPy state is the only one that is global
        algorithm, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
        version, words, gauss_next = random.getstate()
        json: Json = {
            "step": self.step,
            "optimizers": optimizers,
            "random.numpy": [algorithm, [int(key) for key in np.asarray(keys)], position, has_gauss, gauss],
            "random.python": [version, list(words), gauss_next],
        }
        return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, json

    def restore(self, tensors: Mapping[str, Tensor], json: Json) -> None:
        """Put back what :meth:`export` gave.

        :raises FaultError: a tensor is missing, extra or of another shape (all listed).
        """
        expected, _ = self.export()
        # optimizers fill their slots at the first update, so a fresh one has none yet
        expected = {k: v for k, v in expected.items() if not k.startswith(("optimizer.", "random.cuda."))}
        given = {k: v for k, v in tensors.items() if not k.startswith(("optimizer.", "random.cuda."))}
        faults = compare_shapes(expected, given)
        if set(json["optimizers"]) != set(self.optimizers):
            faults.append(
                Fault("training.state", f"optimizers {sorted(json['optimizers'])}, not {sorted(self.optimizers)}")
            )
        else:
            for name, optimizer in self.optimizers.items():
                was = [len(group["params"]) for group in json["optimizers"][name]["param_groups"]]
                now = [len(group["params"]) for group in optimizer.param_groups]
                if was != now:
                    text = f"parameter groups of {was} parameters, expected {now}"
                    faults.append(Fault("training.state", text, name=f"optimizer {name}"))
        if faults:
            raise FaultError(faults, ExitCode.SUBJECT)
        restore_module(self.module, given)
        for name, value in self.tensors.items():
            value.copy_(given[f"tensors.{name}"])
        for name, optimizer in self.optimizers.items():
            slots: dict[int, Json] = {int(i): dict(s) for i, s in json["optimizers"][name]["scalars"].items()}
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            prefix = f"optimizer.{name}."
            for key, value in tensors.items():
                if key.startswith(prefix):
                    index, slot = key[len(prefix) :].split(".", 1)
                    slots.setdefault(int(index), {})[slot] = _laid_out_as(value, parameters[int(index)])
            groups = [dict(group) for group in json["optimizers"][name]["param_groups"]]
            for group in groups:
                group.update({k: tuple(v) for k, v in group.items() if k == "betas"})
            optimizer.load_state_dict({"state": slots, "param_groups": groups})
        for name, generator in self.generators.items():
            generator.set_state(given[f"generator.{name}"])
        torch.set_rng_state(given["random.torch"])
        for device in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            if f"random.cuda.{device}" in tensors:
                torch.cuda.set_rng_state(tensors[f"random.cuda.{device}"], device)
        algorithm, keys, position, has_gauss, gauss = json["random.numpy"]
        np.random.set_state((algorithm, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
        version, words, gauss_next = json["random.python"]
        random.setstate((version, tuple(words), gauss_next))
        self.step = int(json["step"])


def _laid_out_as(value: Tensor, parameter: Tensor) -> Tensor:
    """A copy with the strides of ``parameter``: fused optimizers walk both in the order of memory."""
    if value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def compare_shapes(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[Fault]:
    """A fault for every tensor that is missing, unexpected or of another shape."""
    faults = [Fault("training.state", "missing", name=name) for name in sorted(expected.keys() - given.keys())]
    faults += [Fault("training.state", "unexpected", name=name) for name in sorted(given.keys() - expected.keys())]
    faults += [
        Fault("training.state", f"has shape {list(given[k].shape)}, expected {list(v.shape)}", name=k)
        for k, v in expected.items()
        if k in given and given[k].shape != v.shape
    ]
    return faults


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors called ``module.NAME`` into ``module``.

    :raises FaultError: they are not those of ``module`` (all differences are listed).
    """
    given = {name[7:]: value for name, value in tensors.items() if name.startswith("module.")}
    faults = compare_shapes(module.state_dict(), given)
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    module.load_state_dict(given)
