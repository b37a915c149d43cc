"""Averages over what belongs to one independent unit: several observations of a prompt, a game or a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import Fault, FaultError


def average_by_unit(
    units: Sequence[str], columns: Mapping[str, NDArray[np.float64]]
) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """The distinct units in order of appearance, and for each column [n, ...] its mean over each unit: [u, ...].

    Intervals over the means resample units, however many observations each has.

    :raises FaultError: ``interval.clusters`` where a column has another number of observations than there are labels.
    """
    place = {name: index for index, name in enumerate(dict.fromkeys(units))}
    number = np.array([place[name] for name in units], dtype=np.int64)
    counts = np.bincount(number, minlength=len(place))
    means: dict[str, NDArray[np.float64]] = {}
    for name, values in columns.items():
        if len(values) != len(units):
            message = f"{len(units)} unit labels for {len(values)} observations"
            raise FaultError(Fault("interval.clusters", message, name=name))
        totals = np.zeros((len(place), *values.shape[1:]))
        np.add.at(totals, number, values)
        means[name] = totals / counts.reshape(-1, *[1] * (values.ndim - 1))
    return list(place), means
