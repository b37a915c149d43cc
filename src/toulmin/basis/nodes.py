"""Points at which a Jacobian is averaged: the end of a straight line from zero, or integrated gradients along it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from toulmin.faults import Fault, FaultError

Rule = Literal["gradient", "gauss-legendre", "trapezoid"]


class Node(NamedTuple):
    """A point a on the line a x, and its weight."""

    at: float
    weight: float


def line_nodes(rule: Rule = "gradient", intervals: int = 0) -> tuple[Node, ...]:
    """The nodes a_k and weights w_k with sum_k w_k J(a_k x) in place of the integral of J(a x) over a from 0 to 1.

    ``gradient``: a = 1 alone, the ordinary Jacobian. ``gauss-legendre``: ``intervals`` + 1 nodes. ``trapezoid``:
    ``intervals`` + 1 equally spaced nodes, half weight at the ends, which lie 1e-3 / (intervals + 1) inside [0, 1]
    because a ReLU network has no derivative at 0; 0 intervals are the single node 1/2.

    :raises FaultError: ``basis.rule``.
    """
    if intervals < 0:
        raise FaultError(Fault("basis.rule", f"{intervals} intervals"))
    if rule == "gradient":
        if intervals:
            raise FaultError(Fault("basis.rule", "the rule gradient has one node and takes no intervals"))
        return (Node(1.0, 1.0),)
    if rule == "gauss-legendre":
        x, w = np.polynomial.legendre.leggauss(intervals + 1)
        return tuple(Node(float(a), float(b)) for a, b in zip((x + 1) / 2, w / 2, strict=True))
    if rule != "trapezoid":
        raise FaultError(
            Fault("basis.rule", "no such rule", name=str(rule), hint="gradient, gauss-legendre, trapezoid")
        )
    if intervals == 0:
        return (Node(0.5, 1.0),)
    margin = 1e-3 / (intervals + 1)
    at = np.linspace(margin, 1 - margin, intervals + 1)
    weights = np.full(intervals + 1, 1 / intervals)
    weights[[0, -1]] /= 2
    return tuple(Node(float(a), float(b)) for a, b in zip(at, weights, strict=True))
