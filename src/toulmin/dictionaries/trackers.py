"""Callbacks that send a run's metrics to TensorBoard or Weights & Biases, where those are installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.training import State


def _import(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        fault = Fault("dictionaries.tracker", f"{package} is not installed", hint=f"pip install {package}")
        raise FaultError(fault, ExitCode.MISSING) from None


class TensorBoardTracker:
    """Writes every metric as a scalar to an event file in ``folder``.

    :raises FaultError: (exit MISSING) tensorboard is not installed.
    """

    def __init__(self, folder: Path | str, every: int = 50) -> None:
        self.every, self.folder = every, Path(folder)
        self._writer: Any = _import("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(self.folder))

    def on_start(self, state: State, steps: int) -> None:
        """Nothing to do."""

    def on_step(self, state: State, metrics: Mapping[str, float]) -> None:
        """One point of every curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, state.step)

    def on_end(self, state: State) -> None:
        """Write what is left."""
        self._writer.flush()


class WandbTracker:
    """Logs every metric to a Weights & Biases run that is given or begun (``wandb.init`` takes ``options``).

    :raises FaultError: (exit MISSING) wandb is not installed.
    """

    def __init__(self, every: int = 50, run: Any = None, **options: Any) -> None:
        self.every = every
        self.run = run if run is not None else _import("wandb", "wandb").init(**options)

    def on_start(self, state: State, steps: int) -> None:
        """Nothing to do."""

    def on_step(self, state: State, metrics: Mapping[str, float]) -> None:
        """One point of every curve."""
        self.run.log(dict(metrics), step=state.step)

    def on_end(self, state: State) -> None:
        """Close the run."""
        self.run.finish()
