"""The gridworld as a gymnasium vector environment, for users who bring their own learner (extra ``rl``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from toulmin.faults import require_extra
from toulmin.routing.gridworld import CHANNELS, MOVES, Gridworld

gymnasium = require_extra("gymnasium", "rl")


class GridworldVectorEnv(gymnasium.vector.VectorEnv):  # type: ignore[name-defined]
    """``num_envs`` worlds; the reward is the true one, and ``infos`` say what a trainer with oversight may know.

    A world that ended begins again in the same step (``AutoresetMode.SAME_STEP``). ``infos["seen"]`` says whether the
    cell in which an episode ended has oversight.

    :raises MissingExtra: gymnasium is not installed (raised when this module is imported).
    """

    metadata: dict[str, Any] = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int, p: float, *, side: int = 5, limit: int = 32) -> None:
        self.num_envs, self.p, self.side, self.limit = num_envs, p, side, limit
        spaces = gymnasium.spaces
        self.single_observation_space = spaces.Box(0, 1, (CHANNELS, side, side), np.float32)
        self.single_action_space = spaces.Discrete(len(MOVES))
        self.observation_space = spaces.Box(0, 1, (num_envs, CHANNELS, side, side), np.float32)
        self.action_space = spaces.MultiDiscrete([len(MOVES)] * num_envs)
        self.worlds: Gridworld | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin every world anew."""
        generator = torch.Generator().manual_seed(0 if seed is None else seed)
        if self.worlds is not None and seed is None:
            generator = self.worlds.generator
        self.worlds = Gridworld(self.num_envs, self.p, generator, side=self.side, limit=self.limit)
        return self.worlds.observe().numpy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Move every agent."""
        if self.worlds is None:
            self.reset()
        assert self.worlds is not None
        observation, ended = self.worlds.step(torch.as_tensor(np.asarray(actions), dtype=torch.long))
        reached = (ended.diamond | ended.ghost).numpy()
        infos = {name: getattr(ended, name).numpy() for name in ("diamond", "ghost", "seen")}
        return observation.numpy(), ended.true_reward.numpy(), reached, ended.done.numpy() & ~reached, infos
