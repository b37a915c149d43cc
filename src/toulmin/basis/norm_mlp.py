r"""The closed form of an MLP that reads the residual stream through a norm, gated or not: a language model's.

x -> x + h W_out with h = act(z W_1) or act(z W_1) * (z W_2), z = norm(x), on a stream whose last coordinate is the
constant. With P the identity (RMSNorm) or the removal of the mean (LayerNorm), r^2 = mean((P x)^2) + eps and
y = P x / (r sqrt(d)), the norm's Jacobian is (P - y y^T) / r (P x / r as norm; its gain is folded into the weights), so
that the section's, row vectors, is a sum that is never made for M':

.. math:: J = B + \sum_i W_i \, \mathrm{diag}(s_i) \, U - y v^T, \qquad U = W_{out} B, \qquad
    v = \frac{1}{r} \sum_i \big( (y^T W_i) \circ s_i \big) U

with s_1 = act'(z W_1) (times z W_2 where gated), s_2 = act(z W_1), divided by r for the rows of W_i that read the norm;
those that read the constant (biases) are parts of their own. M' costs products of the size of the weights and one of
K x K for all samples together, in place of d vector-Jacobian products of every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.closed_forms import Function
from toulmin.basis.nodes import Node
from toulmin.basis.squared_actions import pieces


@dataclass(frozen=True)
class NormMlp:
    """x -> x + MLP(norm(x)).

    :ivar first: what the activation function reads, [d, K], with the norm's gain and shift and the biases folded in,
        the last row reading the constant; ``second``: what multiplies it in a gated MLP.
    :ivar W_out: [K, d], its last column zero; the last neuron may be the constant one that b_out belongs to.
    :ivar norm: ``rms``, ``layer`` or ``none``.
    """

    first: Float[Tensor, "d K"]
    second: Float[Tensor, "d K"] | None
    W_out: Float[Tensor, "K d"]
    activation: Function
    slope: Function
    norm: str
    eps: float

    def __call__(self, x: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """What the section writes."""
        z = torch.cat([self._scaled(x)[0], x[..., -1:]], -1)
        second = None if self.second is None else z @ self.second.to(x.dtype)
        return x + self._neurons(z @ self.first.to(x.dtype), second) @ self.W_out.to(x.dtype)

    def _neurons(self, first: Tensor, second: Tensor | None) -> Tensor:
        return self.activation(first) if second is None else self.activation(first) * second

    def _scaled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """norm(x) without its gain, and r [..., 1]."""
        resid = x[..., :-1]
        if self.norm == "none":
            return resid, torch.ones_like(x[..., :1])
        if self.norm == "layer":
            resid = resid - resid.mean(-1, keepdim=True)
        r = (resid.square().mean(-1, keepdim=True) + self.eps).sqrt()
        return resid / r, r

    def _weights(self, dtype: torch.dtype) -> list[Tensor]:
        """``first`` and ``second``, less the mean over what the norm centres."""
        found = [w.to(dtype) for w in (self.first, self.second) if w is not None]
        if self.norm == "layer":
            found = [torch.cat([w[:-1] - w[:-1].mean(0), w[-1:]]) for w in found]
        return found

    def _terms(self, x: Tensor, U: Tensor, nodes: Sequence[Node]) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """The W_i and the s_i [n, K] of samples [n, d], y [n, d] and v [n, F], at the one node."""
        (node,) = nodes
        x = node.at * x
        z, r = self._scaled(x)
        weights = self._weights(x.dtype)
        full = torch.cat([z, x[:, -1:]], 1)
        first = full @ self.first.to(x.dtype)
        slopes = [self.slope(first)]
        if self.second is not None:
            slopes = [slopes[0] * (full @ self.second.to(x.dtype)), self.activation(first)]
        slopes = [s * node.weight for s in slopes]
        rows = [torch.cat([w[:-1], torch.zeros_like(w[-1:])]) for w in weights]
        y = torch.cat([z / z.shape[1] ** 0.5, torch.zeros_like(x[:, -1:])], 1)
        if self.norm == "none":
            y = torch.zeros_like(y)
        parts = [s / r for s in slopes]
        v = torch.stack([(y @ w) * s for w, s in zip(rows, parts, strict=True)]).sum(0) @ U
        for w, s in zip(weights, slopes, strict=True):
            if bool(w[-1].any()):
                rows.append(torch.cat([torch.zeros_like(w[:-1]), w[-1:]]))
                parts.append(s)
        return rows, parts, y, v

    def moment(self, x: Tensor, readout: Tensor | None, nodes: Sequence[Node]) -> Float[Tensor, "d d"]:
        """The sum of J J^T, from second moments of the s_i over samples and the vectors y, v."""
        flat = x.flatten(0, 1).double()
        B = self._readout(readout, flat) * nodes[0].weight
        U = self.W_out.double() @ self._readout(readout, flat)
        rows, parts, y, v = self._terms(flat, U, nodes)
        W, s, repeated = torch.cat(rows, 1), torch.cat(parts, 1), U.repeat(len(rows), 1)
        mixed = B @ (repeated * s.sum(0)[:, None]).T @ W.T
        pairs = (s.T @ s).unflatten(0, (len(rows), -1)).unflatten(2, (len(rows), -1)) * (U @ U.T)[:, None]
        total = len(flat) * (B @ B.T) + mixed + mixed.T + W @ pairs.flatten(2, 3).flatten(0, 1) @ W.T
        through = v @ B.T + (s * (v @ U.T).repeat(1, len(rows))) @ W.T  # (J + y v^T) v
        cross = through.T @ y
        return total - cross - cross.T + (y * v.square().sum(1, keepdim=True)).T @ y

    def interactions(
        self,
        x: Tensor,
        features: Tensor,
        C_inverse: Tensor,
        readout: Tensor | None,
        nodes: Sequence[Node],
        max_bytes: int,
    ) -> Float[Tensor, "F J"]:
        """Sum over samples of (f_j (C^+ J)_ji)^2."""
        flat, f = x.flatten(0, 1), features.flatten(0, 1)
        inverse, B = C_inverse.to(x.dtype), self._readout(readout, flat)
        U, straight = self.W_out.to(x.dtype) @ B, inverse @ B * nodes[0].weight
        rows, parts, y, v = self._terms(flat, U, nodes)
        A = [inverse @ w for w in rows]
        along = y @ inverse.T  # [n, J]
        total = torch.zeros(B.shape[1], len(inverse), dtype=torch.float64, device=x.device)
        for some in pieces(len(flat), 2 * (A[0].numel() + straight.numel()) * x.element_size(), max_bytes):
            mixed = A[0] * parts[0][some, None]
            for a, s in zip(A[1:], parts[1:], strict=True):
                mixed.addcmul_(a, s[some, None])
            acting = torch.baddbmm(straight, mixed, U.expand(len(mixed), -1, -1))
            acting.addcmul_(along[some, :, None], v[some, None], value=-1)
            total += torch.einsum("njf,nj->fj", acting.square_(), f[some].square()).double()
        return total

    def read(self, features: Tensor, C_inverse: Tensor, readout: Tensor) -> Float[Tensor, "N Q F"]:
        """f C^+ B + MLP(norm(f C^+)) B."""
        every = torch.ones(features.shape[-1], dtype=torch.bool, device=features.device)
        return self.reader(features, C_inverse, readout)(every, every.new_ones(readout.shape[1]))

    def reader(self, features: Tensor, C_inverse: Tensor, readout: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """A function of two masks, of features that are kept and of columns of ``readout``: what is read of the section
        by these columns with only these features kept.

        What every feature adds to the neurons' inputs is computed once. Of few features it is summed; where most are
        kept, that of the others is subtracted from the sum of all.
        """
        dtype = features.dtype
        weights = self._weights(dtype)
        adds = torch.cat([C_inverse, *(C_inverse[:, :-1] @ w[:-1] for w in weights)], 1)  # x, and each W_i
        widths = [C_inverse.shape[1], *(w.shape[1] for w in weights)]
        whole, U = features @ adds, self.W_out.to(dtype) @ readout

        def read(kept: Tensor, outputs: Tensor) -> Tensor:
            if 2 * int(kept.sum()) > len(kept):
                both = whole - features[..., ~kept] @ adds[~kept]
            else:
                both = features[..., kept] @ adds[kept]
            x, *read = both.split(widths, -1)
            _, r = self._scaled(x)
            read = [part / r + x[..., -1:] * w[-1] for part, w in zip(read, weights, strict=True)]
            neurons = self._neurons(read[0], read[1] if len(read) > 1 else None)
            return x @ readout[:, outputs] + neurons @ U[:, outputs]

        return read

    def _readout(self, readout: Tensor | None, x: Tensor) -> Tensor:
        return torch.eye(x.shape[1], dtype=x.dtype, device=x.device) if readout is None else readout.to(x.dtype)
