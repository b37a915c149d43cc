r"""Sections whose Jacobians have a closed form.

Each gives, from a batch of inputs x [N, P, d], the readout B = C_next and the nodes of the line, two sums over the
batch: ``moment``, the sum of J J^T (J [d, F], row vectors), and ``interactions``, the sum of the squared actions
(sum_p f_j(p) (C^+ J)_{ji})^2.

- :class:`Elementwise`, act(x W): with s the slopes, J = W diag(s) B, so that the moment is W (S o B B^T) W^T with
  S = sum s s^T.
- :class:`ResidualMlp`, x + act(x W_in) W_out: J = B + W_in diag(s) U with U = W_out B, and
  moment = n B B^T + B (diag(m) U)^T W_in^T + transpose + W_in (S o U U^T) W_in^T, with m = sum s.
- :class:`ResidualAttention`, x + attention: for the query at p and the key at t

  .. math:: J_{pt} = \delta_{pt} B + \sum_h A_{pt} W_V W_O B + \kappa (q_p W_K^T)^T y_{pt}
      + \delta_{pt} \kappa \sum_u (k_u W_Q^T)^T y_{pu}, \qquad y_{pt} = A_{pt} (v_t - z_p) W_O B

  (kappa the scale of the scores): fixed matrices and outer products of vectors, never a Jacobian of d x d a sample.

Letters: N sample, P position (p query, t key), H head, E head dimension, F feature of the next site, J of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.nodes import Node
from toulmin.basis.squared_actions import pieces, squared_actions

Function = Callable[[Tensor], Tensor]


@runtime_checkable
class ClosedForm(Protocol):
    """A section that knows its Jacobian's second moment and interactions."""

    def __call__(self, x: Tensor) -> Tensor:
        """What the section writes."""
        ...

    def moment(self, x: Tensor, readout: Tensor | None, nodes: Sequence[Node]) -> Float[Tensor, "d d"]:
        """The sum of J J^T over samples, output positions and input positions; float64."""
        ...

    def interactions(
        self,
        x: Tensor,
        features: Tensor,
        C_inverse: Tensor,
        readout: Tensor | None,
        nodes: Sequence[Node],
        max_bytes: int,
    ) -> Float[Tensor, "F J"]:
        """The sum of squared actions over samples and output positions; float64."""
        ...

    def read(self, features: Tensor, C_inverse: Tensor, readout: Tensor) -> Float[Tensor, "N Q F"]:
        """What the section writes at ``features @ C_inverse``, read by ``readout``; costs as little as few columns."""
        ...


def _mean_slopes(slope: Function, pre: Tensor, nodes: Sequence[Node]) -> Tensor:
    """The slopes averaged over the line a x."""
    total = slope(nodes[0].at * pre) * nodes[0].weight
    for node in nodes[1:]:
        total = total + slope(node.at * pre) * node.weight
    return total


@dataclass(frozen=True)
class Elementwise:
    """x -> act(x W).

    ``weight``: [d_in, d_out], biases folded in; ``activation``: None for a linear section; ``slope``: its derivative.
    """

    weight: Float[Tensor, "I O"]
    activation: Function | None = None
    slope: Function | None = None

    def __call__(self, x: Float[Tensor, "*N I"]) -> Float[Tensor, "*N O"]:
        """What the section writes."""
        pre = x @ self.weight.to(x.dtype)
        return pre if self.activation is None else self.activation(pre)

    def moment(self, x: Tensor, readout: Tensor | None, nodes: Sequence[Node]) -> Float[Tensor, "d d"]:
        """W (S o B B^T) W^T."""
        W = self.weight.double()
        B = _readout(readout, W)
        flat = x.flatten(0, 1)
        if self.slope is None:
            return len(flat) * (W @ B @ B.T @ W.T)
        s = _mean_slopes(self.slope, flat @ self.weight.to(x.dtype), nodes).double()
        return W @ ((s.T @ s) * (B @ B.T)) @ W.T

    def interactions(
        self,
        x: Tensor,
        features: Tensor,
        C_inverse: Tensor,
        readout: Tensor | None,
        nodes: Sequence[Node],
        max_bytes: int,
    ) -> Float[Tensor, "F J"]:
        """Sum over samples of (f_j sum_k A_jk s_k B_ki)^2 with A = C^+ W."""
        W = self.weight.to(x.dtype)
        A, B = C_inverse.to(x.dtype) @ W, _readout(readout, W)
        flat, read = features.flatten(0, 1), x.flatten(0, 1)
        if self.slope is None:
            return (A @ B).double().square().T * flat.double().square().sum(0)
        s = _mean_slopes(self.slope, read @ W, nodes)
        return squared_actions(A, s, B, flat, None, max_bytes)

    def read(self, features: Tensor, C_inverse: Tensor, readout: Tensor) -> Float[Tensor, "N Q F"]:
        """act(f C^+ W) B."""
        pre = features @ (C_inverse @ self.weight.to(features.dtype))
        return (pre if self.activation is None else self.activation(pre)) @ readout


@dataclass(frozen=True)
class ResidualMlp:
    """x -> x + act(x W_in) W_out on a stream whose last coordinate is the constant.

    ``W_in``: [d, K]; ``W_out``: [K, d]; biases folded in, with a constant neuron that nothing but b_out reads.
    """

    W_in: Float[Tensor, "d K"]
    W_out: Float[Tensor, "K d"]
    activation: Function
    slope: Function

    def __call__(self, x: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """What the section writes."""
        return x + self.activation(x @ self.W_in.to(x.dtype)) @ self.W_out.to(x.dtype)

    def moment(self, x: Tensor, readout: Tensor | None, nodes: Sequence[Node]) -> Float[Tensor, "d d"]:
        """n B B^T + B U^T diag(m) W_in^T + transpose + W_in (S o U U^T) W_in^T."""
        W = self.W_in.double()
        B = _readout(readout, self.W_out.double())
        U = self.W_out.double() @ B
        flat = x.flatten(0, 1)
        s = _mean_slopes(self.slope, flat @ self.W_in.to(x.dtype), nodes).double()
        mixed = B @ (U * s.sum(0)[:, None]).T @ W.T
        return len(flat) * (B @ B.T) + mixed + mixed.T + W @ ((s.T @ s) * (U @ U.T)) @ W.T

    def interactions(
        self,
        x: Tensor,
        features: Tensor,
        C_inverse: Tensor,
        readout: Tensor | None,
        nodes: Sequence[Node],
        max_bytes: int,
    ) -> Float[Tensor, "F J"]:
        """Sum over samples of (f_j ((C^+ B)_ji + sum_k A_jk s_k U_ki))^2 with A = C^+ W_in."""
        W, out = self.W_in.to(x.dtype), self.W_out.to(x.dtype)
        B = _readout(readout, out)
        inverse = C_inverse.to(x.dtype)
        s = _mean_slopes(self.slope, x.flatten(0, 1) @ W, nodes)
        return squared_actions(inverse @ W, s, out @ B, features.flatten(0, 1), inverse @ B, max_bytes)

    def read(self, features: Tensor, C_inverse: Tensor, readout: Tensor) -> Float[Tensor, "N Q F"]:
        """f C^+ B + act(f C^+ W_in) W_out B."""
        pre = features @ (C_inverse @ self.W_in.to(features.dtype))
        return features @ (C_inverse @ readout) + self.activation(pre) @ (self.W_out.to(features.dtype) @ readout)


@dataclass(frozen=True)
class ResidualAttention:
    """x -> x + attention(x), without norm, rotation, soft-cap or distance penalty, on a stream that ends in a constant.

    :ivar W_Q: [H, d, E], with W_K and W_V; biases are rows that read the constant, and values carry it along in one
        more
        dimension, so ``W_V`` [H, d, E + 1] and ``W_O`` [H, E + 1, d].
    :ivar mask: [P, P], true where the query p may read the key t.
    :ivar last: only the last position is written.
    """

    W_Q: Float[Tensor, "H d E"]
    W_K: Float[Tensor, "H d E"]
    W_V: Float[Tensor, "H d G"]
    W_O: Float[Tensor, "H G d"]
    scale: float
    mask: Tensor
    last: bool

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """q [N, H, p, E] of the written positions, k, v [N, H, t, .], the pattern [N, H, p, t] and z [N, H, p, G]."""
        written = x[:, -1:] if self.last else x
        # one product for each head, not a broadcast one, which would copy the weights for every sample
        q = torch.einsum("npd,hde->nhpe", written, self.W_Q.to(x.dtype))
        k, v = (torch.einsum("npd,hde->nhpe", x, weight.to(x.dtype)) for weight in (self.W_K, self.W_V))
        allowed = self.mask[-1:] if self.last else self.mask
        scores = (q @ k.mT * self.scale).masked_fill(~allowed, -torch.inf)
        pattern = scores.softmax(-1)
        return q, k, v, pattern, pattern @ v

    def __call__(self, x: Float[Tensor, "N P d"]) -> Float[Tensor, "N Q d"]:
        """What the section writes."""
        *_, z = self._parts(x)
        return (x[:, -1:] if self.last else x) + torch.einsum("nhpg,hgd->npd", z, self.W_O.to(x.dtype))

    def _terms(self, x: Tensor, B: Tensor, nodes: Sequence[Node]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Averaged over the line: the pattern; and, for every query, key and head, y [N, H, p, t, F] with the vectors
        that it multiplies, from the key's side q_p W_K^T [N, H, p, d] and from the query's side k_t W_Q^T [N, H, t, d].

        Only a single node factors like this; callers with several nodes differentiate instead.
        """
        (node,) = nodes
        q, k, v, pattern, z = self._parts(node.at * x)
        gap = pattern[..., None] * (v[:, :, None] - z[:, :, :, None])  # [N, H, p, t, G]
        y = torch.einsum("nhptg,hgf->nhptf", gap, (self.W_O.to(x.dtype) @ B) * (self.scale * node.weight))
        from_key = torch.einsum("nhpe,hde->nhpd", q, self.W_K.to(x.dtype))
        from_query = torch.einsum("nhpe,hde->nhpd", k, self.W_Q.to(x.dtype))
        return pattern * node.weight, y, from_key, from_query

    def moment(self, x: Tensor, readout: Tensor | None, nodes: Sequence[Node]) -> Float[Tensor, "d d"]:
        """The sum of J J^T from second moments of the pattern and of the vectors of the outer products."""
        x = x.double()
        B = _readout(readout, self.W_O[0].double())
        through = self.W_V.double() @ self.W_O.double() @ B  # [H, d, F]
        pattern, y, from_key, from_query = self._terms(x, B, nodes)
        n, heads, queries, keys = pattern.shape
        d = x.shape[-1]
        own = keys - 1 if self.last else None  # the key at the query's own position
        # key t, not through the query: sum_h A through_h + from_key_h y_h
        total = torch.einsum("hg,hdf,gef->de", torch.einsum("nhpt,ngpt->hg", pattern, pattern), through, through)
        left = from_key.transpose(1, 2).flatten(0, 1)  # [N p, H, d]
        right = y.permute(0, 2, 1, 3, 4).flatten(0, 1)  # [N p, H, t, F]
        weights = torch.einsum("mhtf,mgtf->mhg", right, right)
        total += torch.einsum("mhd,mhe->de", left, torch.einsum("mhg,mge->mhe", weights, left))
        shares = pattern.transpose(1, 2).flatten(0, 1)  # [N p, H, t]
        carried = torch.einsum("mgt,mhtf->mghf", shares, right)  # sum_t A_g y_h
        cross = torch.einsum("gdf,mghf->mhd", through, carried)
        mixed = torch.einsum("mhd,mhe->de", cross, left)
        total += mixed + mixed.T
        # the query's own position also carries B and the change of its query: counted again with them, less what was
        at = torch.arange(queries, device=x.device) if own is None else torch.tensor([own], device=x.device)
        own_pattern = pattern[:, :, torch.arange(queries), at].transpose(1, 2).flatten(0, 1)  # [N p, H]
        own_y = y[:, :, torch.arange(queries), at].transpose(1, 2).flatten(0, 1)  # [N p, H, F]
        keys_side = from_query[:, None].expand(-1, queries, -1, -1, -1).flatten(0, 1)  # [N p, H, t, d]
        fixed = torch.cat([B[None], through])
        for some in pieces(len(left), heads * (keys + 1) * (d + len(fixed) * B.shape[1]) * 8, 1 << 26):
            c, u, w = own_pattern[some], left[some], own_y[some]
            total -= _moment_of_sums(c, through, u, w)
            every_u = torch.cat([u, keys_side[some].flatten(1, 2)], 1)
            every_w = torch.cat([w, right[some].flatten(1, 2)], 1)
            total += _moment_of_sums(torch.cat([torch.ones_like(c[:, :1]), c], 1), fixed, every_u, every_w)
        assert n * queries == len(left)
        assert heads == len(through)
        return total

    def interactions(
        self,
        x: Tensor,
        features: Tensor,
        C_inverse: Tensor,
        readout: Tensor | None,
        nodes: Sequence[Node],
        max_bytes: int,
    ) -> Float[Tensor, "F J"]:
        """The sum over samples and queries of (sum_t f_j(t) (C^+ J_pt)_ji)^2."""
        inverse = C_inverse.to(x.dtype)
        B = _readout(readout, self.W_O[0].to(x.dtype))
        through = inverse @ (self.W_V.to(x.dtype) @ self.W_O.to(x.dtype) @ B)  # [H, J, F]
        straight = inverse @ B
        total = torch.zeros(B.shape[1], len(inverse), dtype=torch.float64, device=x.device)
        P, heads = x.shape[1], len(through)
        each = x.element_size() * (3 * straight.numel() + heads * P * P * (B.shape[1] + len(inverse)))
        for some in pieces(len(x), each, max_bytes):
            pattern, y, from_key, from_query = self._terms(x[some], B, nodes)
            f = features[some]
            own = f[:, -1:] if self.last else f  # [N, p, J]
            key_side = from_key @ inverse.T  # [N, H, p, J]
            query_side = from_query @ inverse.T  # [N, H, t, J]
            moved = torch.einsum("nhpt,ntj->nphj", pattern, f)
            acting = torch.einsum("nphj,hjf->npjf", moved, through) + own[..., None] * straight
            # rank-one terms: sum_ht [f_j(t) key_side_j + f_j(p) query_side_j(t)] y_ht
            weights = f[:, None, None] * key_side[:, :, :, None] + own[:, None, :, None] * query_side[:, :, None]
            acting += torch.einsum("nhptj,nhptf->npjf", weights, y)
            total += acting.square().sum((0, 1)).T.double()
        return total

    def read(self, features: Tensor, C_inverse: Tensor, readout: Tensor) -> Float[Tensor, "N Q F"]:
        """f C^+ B + sum over heads of the pattern times f C^+ W_V W_O B."""
        W_Q, W_K, W_V, W_O = (w.to(features.dtype) for w in (self.W_Q, self.W_K, self.W_V, self.W_O))
        written = features[:, -1:] if self.last else features
        q = torch.einsum("npd,hde->nhpe", written, C_inverse @ W_Q)
        k = torch.einsum("npd,hde->nhpe", features, C_inverse @ W_K)
        allowed = self.mask[-1:] if self.last else self.mask
        pattern = (q @ k.mT * self.scale).masked_fill(~allowed, -torch.inf).softmax(-1)
        values = torch.einsum("npd,hdf->nhpf", features, C_inverse @ (W_V @ (W_O @ readout)))
        return written @ (C_inverse @ readout) + (pattern @ values).sum(1)


def _moment_of_sums(
    c: Float[Tensor, "M A"], fixed: Float[Tensor, "A d F"], u: Float[Tensor, "M K d"], w: Float[Tensor, "M K F"]
) -> Float[Tensor, "d d"]:
    """The sum of J J^T over the Jacobians J_m = sum_a c_ma T_a + sum_k u_mk w_mk^T, none of which is made."""
    total = torch.einsum("ab,adf,bef->de", c.T @ c, fixed, fixed)
    flat = u.flatten(0, 1)
    weighted = (c[:, None, :, None] * w[:, :, None, :]).flatten(0, 1).flatten(1)  # [M K, A F]
    cross = (flat.T @ weighted) @ fixed.permute(0, 2, 1).flatten(0, 1)
    return total + cross + cross.T + flat.T @ ((w @ w.mT) @ u).flatten(0, 1)


def _readout(readout: Tensor | None, weight: Tensor) -> Tensor:
    """B in the type of ``weight``; the identity on what the section writes where there is none."""
    if readout is None:
        return torch.eye(weight.shape[-1], dtype=weight.dtype, device=weight.device)
    return readout.to(weight.dtype)
