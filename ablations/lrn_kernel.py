"""Response normalization across maps as two Triton kernels, for GPUs (§3.3).

The normalization takes a GPU as long as its memory takes to carry the activations. As operations of
torch's they are read or written some twenty times, in float32. Here the forward pass reads and
writes them once, and the backward pass reads activations and gradients and writes gradients, in
their own precision; only the input is kept in between. Neighbors come from the cache, and what
they lack is computed again, which is cheaper than its way through memory.
"""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

try:
    import triton
    import triton.language as tl
except ImportError:  # torch brings it along on Linux alone; elsewhere nothing calls the kernels
    triton = None
jit: Any = triton.jit if triton else lambda kernel: kernel

QUADS = 256  # of neighboring activations in a program: two for each of its threads


def serves(x: Tensor, size: int, beta: float) -> bool:
    """Whether the kernels take these activations, window and exponent.

    They do on a GPU, for the paper's window and exponent, where four divides the channels.

    Args:
        x: Activations of a pixel in each row, shape (N, C).
        size: Channels in the window.
        beta: Exponent.
    """
    wanted = size == 5 and beta == 0.75 and x.shape[1] % 4 == 0 and x.dtype != torch.float64
    return wanted and x.is_cuda and _compile(x.device)


@cache
def _compile(device: torch.device) -> bool:
    """Whether Triton can compile for this device."""
    if triton is None:
        return False
    try:
        # Not through autograd: an evaluation may come first, in inference mode.
        x, out = torch.ones(2, 1, 4, device=device)
        _launch(_forward, (x, out), (1.0, 1.0))
        _launch(_backward, (x, x, out), (1.0, 1.0))
    except Exception as error:  # Triton calls a C compiler, and passes on whatever that says
        warnings.warn(
            "Triton cannot compile the kernels of response normalization, which takes many more "
            f"passes over memory without them; it needs a C compiler and Python's headers: {error}",
            stacklevel=1,
        )
        return False
    return True


class FusedResponseNorm(torch.autograd.Function):
    """x * (k + alpha * sum of squares over five neighbors) ** -0.75, with its gradient.

    Computed in float32, whatever the dtype of ``x``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: float, alpha: float) -> Tensor:
        """Normalize each activation by its neighbors in the same row.

        Args:
            ctx: What the backward pass needs.
            x: Activations of a pixel in each row, shape (N, C), where four divides C.
            k: Added to the energy, positive.
            alpha: Weight of the summed squares.
        """
        x = x.contiguous()
        out = torch.empty_like(x)
        ctx.save_for_backward(x)
        ctx.constants = k, alpha
        _launch(_forward, (x, out), ctx.constants)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of ``x`` from that of the result, shape (N, C)."""
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        _launch(_backward, (x, grad.contiguous(), out), ctx.constants)
        return out, None, None


def _launch(kernel: Any, tensors: tuple[Tensor, ...], constants: tuple[float, float]) -> None:
    x = tensors[0]
    if not x.numel():
        return
    with torch.cuda.device_of(x):
        quads = x.numel() // 4
        launch = kernel[(math.ceil(quads / QUADS),)]
        # Triton is about to change what it does when it is not told, and warns.
        launch(*tensors, quads, x.shape[1] // 4, *constants, QUADS, enable_fp_fusion=True)


# A thread has four neighboring activations, a quad, and loads the quads before and after it too:
# twelve activations, of which 4 to 7 are its own. A load carries a quad. What neighbors share is
# written once for each of them; the compiler merges it.


@jit
def _place(quads, per_row, QUADS: tl.constexpr):
    """First quad of this program; all after it, their places in a row, and which of them exist."""
    # 64 bits for the first alone: a batch may hold more than two billion activations.
    first = tl.program_id(0).to(tl.int64) * QUADS
    after = tl.arange(0, QUADS)
    return first, after, ((first % per_row).to(tl.int32) + after) % per_row, after < quads - first


@jit
def _quad(start, after, place, per_row, exist, shift: tl.constexpr):
    """The four activations of the quad ``shift`` further; zeros beyond either end of a row."""
    there = exist & (place + shift >= 0) & (place + shift < per_row)
    where = 4 * (after[:, None] + shift) + tl.arange(0, 4)[None, :]
    four = tl.load(start + where, mask=there[:, None], other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(four, (four.shape[0], 2, 2)))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@jit
def _around(start, after, place, per_row, exist):
    """The twelve activations that a thread needs."""
    before = _quad(start, after, place, per_row, exist, -1)
    here = _quad(start, after, place, per_row, exist, 0)
    return before + here + _quad(start, after, place, per_row, exist, 1)


@jit
def _store(start, after, exist, first, second, third, fourth):
    """Inverse of ``_quad``."""
    four = tl.join(tl.join(first, third), tl.join(second, fourth))
    where = 4 * after[:, None] + tl.arange(0, 4)[None, :]
    tl.store(start + where, tl.reshape(four, where.shape), mask=exist[:, None])


@jit
def _root(x, k, alpha, i):
    """Energy around activation ``i`` ** -0.5; an instruction of the GPU, as a power is not."""
    squares = x[i - 2] * x[i - 2] + x[i - 1] * x[i - 1] + x[i] * x[i]
    squares += x[i + 1] * x[i + 1] + x[i + 2] * x[i + 2]
    return tl.rsqrt(k + alpha * squares)


@jit
def _normalized(x, k, alpha, i):
    root = _root(x, k, alpha, i)
    return x[i] * (root * tl.sqrt(root))


@jit
def _forward(x, out, quads, per_row, k, alpha, QUADS: tl.constexpr):
    first, after, place, exist = _place(quads, per_row, QUADS)
    x = _around(x + 4 * first, after, place, per_row, exist)
    a, b = _normalized(x, k, alpha, 4), _normalized(x, k, alpha, 5)
    c, d = _normalized(x, k, alpha, 6), _normalized(x, k, alpha, 7)
    _store(out + 4 * first, after, exist, a, b, c, d)


@jit
def _through_energy(x, grad, k, alpha, i):
    """Slope of the loss in the energy around activation ``i``, over -0.75."""
    root = _root(x, k, alpha, i)
    return grad[i] * x[i] * (root * tl.sqrt(root)) * (root * root)


@jit
def _slope(x, grad, k, alpha, i):
    """Slope of the loss in activation ``i``."""
    root = _root(x, k, alpha, i)
    around = _through_energy(x, grad, k, alpha, i)
    around += _through_energy(x, grad, k, alpha, i - 2) + _through_energy(x, grad, k, alpha, i - 1)
    around += _through_energy(x, grad, k, alpha, i + 1) + _through_energy(x, grad, k, alpha, i + 2)
    return grad[i] * (root * tl.sqrt(root)) - 1.5 * alpha * x[i] * around


@jit
def _backward(x, grad, out, quads, per_row, k, alpha, QUADS: tl.constexpr):
    first, after, place, exist = _place(quads, per_row, QUADS)
    x = _around(x + 4 * first, after, place, per_row, exist)
    grad = _around(grad + 4 * first, after, place, per_row, exist)
    a, b = _slope(x, grad, k, alpha, 4), _slope(x, grad, k, alpha, 5)
    c, d = _slope(x, grad, k, alpha, 6), _slope(x, grad, k, alpha, 7)
    _store(out + 4 * first, after, exist, a, b, c, d)
