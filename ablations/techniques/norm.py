"""Local response normalization.

Claim:
    Normalizing each activation by the activations at the same position in five adjacent maps lowers
    the top-1 and top-5 errors by 1.4 and 1.2 points, and the error of a four-layer CIFAR-10 network
    from 13 % to 11 %.

Source:
    §3.3.

Variants:
    ``lrn``: a / (k + alpha * sum of squares over the window) ** beta. ``none``: no normalization.
    ``batchnorm``: batch normalization (Ioffe and Szegedy 2015) at the same positions.

Deviates:
    The paper's formula does not divide alpha by the size of the window; the authors' code and
    ``torch.nn.LocalResponseNorm`` do. The key ``edition`` selects one of the two. In the formula
    the sum runs over all maps of a layer. Here a window never spans both towers, because each GPU
    saw only its own maps. ``edition=released`` has a second normalization, within each map, which
    the paper does not mention. Without ``lrn`` it is removed, too, as in the authors' run.
"""

from __future__ import annotations  # annotations use types of Triton, which may be missing

import math
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ablations.techniques import Norm

try:
    import triton
    import triton.language as tl
except ImportError:  # torch installs it on Linux only; elsewhere the kernels are not called
    triton = None
jit: Any = triton.jit if triton else lambda kernel: kernel


def response_normalization(
    x: Tensor, *, k: float = 2.0, alpha: float = 1e-4, towers: int = 1
) -> Tensor:
    """Apply local response normalization over five adjacent channels.

    Paper: §3.3; the defaults, the window n = 5 and the exponent beta = 0.75 are its constants.
    Deviates: ``towers``; see the card. For one tower,
        ``torch.nn.LocalResponseNorm(5, 5 * alpha, 0.75, k)`` is equivalent.

    Args:
        x: Activations, shape (N, C, H, W); fastest in channels-last memory format.
        k: Constant in the denominator, positive.
        alpha: Weight of the summed squares, positive; 1e-4 suits pixels from 0 to 255.
        towers: Number of groups of channels; a window does not span groups.

    Returns:
        Same shape and dtype as ``x``; computed in float32 or float64.

    Raises:
        ValueError: The number of channels is not divisible by ``towers``.

    Examples:
        >>> x = torch.ones(1, 1, 1, 1)
        >>> response_normalization(x, k=1.0, alpha=15.0).item()
        0.125
    """
    n, channels, height, width = x.shape
    if channels % towers:
        raise ValueError(f"towers={towers} does not divide {channels} channels")
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels // towers)
    if kernels_take(rows):
        rows = FusedResponseNorm.apply(rows, k, alpha)
    else:
        rows = _DivideByEnergy.apply(rows, _five_channels(), k, alpha)
    return rows.reshape(n, height, width, channels).permute(0, 3, 1, 2)


def within_map_response_normalization(x: Tensor, *, size: int, alpha: float) -> Tensor:
    """Apply response normalization over a square window within each map.

    Paper: not mentioned; this is ``rnorm`` of the authors' code with k = 1 and beta = 0.75.

    Args:
        x: Activations, shape (N, C, H, W).
        size: Height and width of the window, odd. The maps are padded with zeros.
        alpha: Weight of the mean square (the sum divided by ``size ** 2``), positive.

    Returns:
        Same shape and dtype as ``x``; computed in float32 or float64.

    Examples:
        >>> x = torch.ones(1, 1, 1, 1)
        >>> within_map_response_normalization(x, size=1, alpha=15.0).item()
        0.125
    """

    def window(a: Tensor, b: Tensor) -> Tensor:
        squares = (a * b).permute(0, 3, 1, 2)
        sums = F.avg_pool2d(squares, size, stride=1, padding=size // 2, divisor_override=1)
        return sums.permute(0, 2, 3, 1)

    # dtype conversions are fastest in memory order.
    last = x.permute(0, 2, 3, 1)
    return _DivideByEnergy.apply(last, window, 1.0, alpha / size**2).permute(0, 3, 1, 2)


# Implementation with torch operations; on a CPU in blocks of rows that fit its cache

Window = Callable[[Tensor, Tensor], Tensor]  # sums a * b over the neighbors of each activation


class _DivideByEnergy(torch.autograd.Function):
    """Compute x * d ** -0.75 for d = k + alpha * window(x, x).

    ``window(a, b)`` sums a * b over a symmetric neighborhood within each row (index 0). Of the
    powers of d only root = d ** -0.25 is saved: d ** -0.75 = root ** 3, and 1 / d = root ** 4. The
    gradient has a closed form; autograd would save twice as many tensors. Half precision is
    converted to float32 block by block, within the cache of a CPU.
    """

    @staticmethod
    def forward(ctx, x: Tensor, window: Window, k: float, alpha: float) -> Tensor:
        out = torch.empty_like(x)
        root = torch.empty_like(x, dtype=_wide(x.dtype))
        # Not new_tensor, which copies from the host and synchronizes a GPU.
        base = root.new_full((), k)
        for x_, root_, out_ in _blocks(x, root, out):
            wide = x_.to(root.dtype)
            torch.add(base, window(wide, wide), alpha=alpha, out=root_).rsqrt_().sqrt_()
            torch.mul(_cube(root_), wide, out=out_)
        ctx.save_for_backward(x, root)
        ctx.window, ctx.alpha = window, alpha
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        # The gradient is grad * d ** -0.75 - 1.5 * alpha * x * window(grad * d ** -0.75, x / d).
        x, root = ctx.saved_tensors
        out = torch.empty_like(x)
        for x_, root_, grad_, out_ in _blocks(x, root, grad, out):
            wide = x_.to(root.dtype)
            slope = _cube(root_).mul_(grad_.to(root.dtype))
            x_by_d = root_.square().square_().mul_(wide)
            slope.addcmul_(ctx.window(slope, x_by_d), wide, value=-1.5 * ctx.alpha)
            out_.copy_(slope)
        return out, None, None, None


def _cube(root: Tensor) -> Tensor:
    """Return d ** -0.75 for root = d ** -0.25."""
    return root.square().mul_(root)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in: float32 for half precision."""
    return torch.promote_types(dtype, torch.float32)


def _blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Split tensors of one shape into blocks of rows on a CPU; return one block elsewhere."""
    first = tensors[0]
    if first.device.type != "cpu":
        return [tensors]
    rows = max(1, 2**18 // (first.element_size() * first.shape[1:].numel()))
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def _five_channels() -> Window:
    """Return a window function for (N, C) that sums over five channels by adding shifted copies."""
    buffers: dict[int, Tensor] = {}  # for the products, by number of rows

    def window(a: Tensor, b: Tensor) -> Tensor:
        # With two zeros after each row, one shift of the flat buffer shifts all rows.
        n, channels = a.shape
        width = channels + 2
        if n not in buffers:
            buffers[n] = a.new_zeros(2 + n * width + 2)
        flat = buffers[n]
        torch.mul(a, b, out=flat[2:-2].view(n, width)[:, :channels])
        pairs = flat[:-1] + flat[1:]
        fours = pairs[:-2] + pairs[2:]
        return fours[:-1].add_(flat[4:]).view(n, width)[:, :channels]

    return window


# Implementation for a GPU: two Triton kernels
#
# On a GPU the normalization is limited by memory bandwidth. Torch operations would read or write
# the activations about twenty times, in float32. Here the forward pass reads and writes them once;
# the backward pass reads activations and gradients once and writes gradients, all in their own
# dtype. Only the input is saved: neighbors are loaded again through the cache, and denominators are
# computed again.

QUADS = 256  # quads (four adjacent activations) per program: two per thread


def kernels_take(x: Tensor) -> bool:
    """Return whether the Triton kernels support a tensor.

    They need a CUDA device, a multiple of four channels, a dtype other than float64, and a working
    compiler.

    Args:
        x: Activations with one pixel per row, shape (N, C).
    """
    return x.is_cuda and x.shape[1] % 4 == 0 and x.dtype != torch.float64 and _compile(x.device)


@cache
def _compile(device: torch.device) -> bool:
    """Return whether Triton can compile for this device; warn if it cannot."""
    if triton is None:
        return False
    try:
        # Not through autograd, because the first call may be an evaluation in inference mode.
        x, out = torch.ones(2, 1, 4, device=device)
        _launch(_forward, (x, out), (1.0, 1.0))
        _launch(_backward, (x, x, out), (1.0, 1.0))
    except Exception as error:  # Triton calls a C compiler, which may fail in any way
        warnings.warn(
            "Triton cannot compile the kernels for response normalization; a slower implementation "
            f"is used. Triton needs a C compiler and Python's headers: {error}",
            stacklevel=1,
        )
        return False
    return True


class FusedResponseNorm(torch.autograd.Function):
    """Compute x * (k + alpha * sum of squares over five neighbors) ** -0.75 with Triton.

    The computation is in float32 for every dtype of ``x``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: float, alpha: float) -> Tensor:
        """Normalize each activation by its neighbors in the same row.

        Args:
            ctx: Context for the backward pass.
            x: Activations with one pixel per row, shape (N, C); C must be a multiple of four.
            k: Constant in the denominator, positive.
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
        """Return the gradient of ``x``, given that of the result, both of shape (N, C)."""
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
        # The default of enable_fp_fusion is about to change, and Triton warns without a value.
        launch(*tensors, quads, x.shape[1] // 4, *constants, QUADS, enable_fp_fusion=True)


# A thread computes a quad and also loads the quads before and after it: twelve activations, of
# which it computes numbers 4 to 7. Each load fetches a quad. Terms that neighbors share are written
# out for each of them; the compiler merges them.


@jit
def _place(quads, per_row, QUADS: tl.constexpr):
    """Locate the quads of this program.

    Returns the number of its first quad; the numbers of all its quads, counted from that one; the
    positions of these within their rows; and whether they exist (the last program may have fewer).
    """
    # Only the first needs 64 bits: a batch may have more than two billion activations.
    first = tl.program_id(0).to(tl.int64) * QUADS
    after = tl.arange(0, QUADS)
    return first, after, ((first % per_row).to(tl.int32) + after) % per_row, after < quads - first


@jit
def _quad(start, after, place, per_row, exist, shift: tl.constexpr):
    """Load the quad at distance ``shift`` as four activations; zeros beyond the ends of a row."""
    there = exist & (place + shift >= 0) & (place + shift < per_row)
    where = 4 * (after[:, None] + shift) + tl.arange(0, 4)[None, :]
    four = tl.load(start + where, mask=there[:, None], other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(four, (four.shape[0], 2, 2)))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@jit
def _around(start, after, place, per_row, exist):
    """Load the twelve activations that a thread needs."""
    before = _quad(start, after, place, per_row, exist, -1)
    here = _quad(start, after, place, per_row, exist, 0)
    return before + here + _quad(start, after, place, per_row, exist, 1)


@jit
def _store(start, after, exist, first, second, third, fourth):
    """Store a quad; the inverse of ``_quad``."""
    four = tl.join(tl.join(first, third), tl.join(second, fourth))
    where = 4 * after[:, None] + tl.arange(0, 4)[None, :]
    tl.store(start + where, tl.reshape(four, where.shape), mask=exist[:, None])


@jit
def _root(x, k, alpha, i):
    """Return d ** -0.5 for activation ``i``, where d = k + alpha * sum of squares."""
    squares = x[i - 2] * x[i - 2] + x[i - 1] * x[i - 1] + x[i] * x[i]
    squares += x[i + 1] * x[i + 1] + x[i + 2] * x[i + 2]
    return tl.rsqrt(k + alpha * squares)


@jit
def _normalized(x, k, alpha, i):
    """Return the normalized activation ``i``."""
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
    """Return the gradient of the loss with respect to d of activation ``i``, divided by -0.75."""
    root = _root(x, k, alpha, i)
    return grad[i] * x[i] * (root * tl.sqrt(root)) * (root * root)


@jit
def _slope(x, grad, k, alpha, i):
    """Return the gradient of the loss with respect to activation ``i``."""
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


# Layers


class ResponseNorm(nn.Module):
    """Layer for :func:`response_normalization`."""

    def __init__(self, *, k: float = 2.0, alpha: float = 1e-4, towers: int = 1) -> None:
        super().__init__()
        self.k, self.alpha, self.towers = k, alpha, towers

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x``, shape (N, C, H, W)."""
        return response_normalization(x, k=self.k, alpha=self.alpha, towers=self.towers)


class WithinMapResponseNorm(nn.Module):
    """Layer for :func:`within_map_response_normalization`."""

    def __init__(self, *, size: int, alpha: float) -> None:
        super().__init__()
        self.size, self.alpha = size, alpha

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x``, shape (N, C, H, W)."""
        return within_map_response_normalization(x, size=self.size, alpha=self.alpha)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalization with the statistics of the global batch.

    With one process it is ``torch.nn.BatchNorm2d``. With several processes, unlike
    ``torch.nn.SyncBatchNorm``, it also runs on a CPU, and the processes may have different numbers
    of images, including none.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x``, shape (N, C, H, W)."""
        distributed = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not (self.training and distributed):
            return super().forward(x)
        wide = x.to(_wide(x.dtype))
        count = wide.new_full((1,), x.shape[0] * x.shape[2] * x.shape[3])
        totals = _AllReduce.apply(torch.cat([wide.sum((0, 2, 3)), count]))
        mean, count = totals[:-1] / totals[-1], totals[-1]
        centered = wide - mean[:, None, None]
        variance = _AllReduce.apply(centered.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _AllReduce(torch.autograd.Function):
    """Sum over the processes; the backward pass sums the gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _AllReduce.apply(grad)


def norm_layer(kind: Norm, channels: int, response_norm: nn.Module) -> nn.Module:
    """Return the normalization layer of a variant.

    Args:
        kind: The variant.
        channels: Number of maps.
        response_norm: The layer to return for ``lrn``; its window and constants depend on the
            network.
    """
    match kind:
        case Norm.lrn:
            return response_norm
        case Norm.none:
            return nn.Identity()
        case Norm.batchnorm:
            return BatchNorm2d(channels)
