"""Local response normalization.

Claim:
    Dividing each activation by the energy of its neighbors in five adjacent maps lowers the top-1
    and top-5 error by 1.4 and 1.2 points, and that of a four-layer CIFAR-10 network from 13 % to
    11 %.

Source:
    §3.3.

Variants:
    ``lrn``: a / (k + alpha * sum of squares over the window) ** beta. ``none``: no normalization.
    ``batchnorm``: batch normalization (Ioffe and Szegedy 2015) in the same places.

Deviates:
    The printed formula does not divide alpha by the size of the window; the authors' code and
    ``torch.nn.LocalResponseNorm`` do. :mod:`ablations.techniques.edition` chooses. The printed
    sum runs over all maps of a layer; here a window never crosses from one tower to the other, as
    each GPU could only see its own maps. The run behind the paper's figure also left out a second
    normalization, within each map, that the paper does not mention.
"""

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ablations import lrn_kernel
from ablations.techniques import Norm


def response_normalization(
    x: Tensor,
    *,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    towers: int = 1,
) -> Tensor:
    """Divide each activation by the energy of its neighboring channels.

    Paper: §3.3; the defaults are its constants.
    Deviates: towers, see the card. ``torch.nn.LocalResponseNorm`` gives the same for
        ``alpha * size``.

    Args:
        x: Activations, shape (N, C, H, W); fastest where channels come last in memory.
        size: Channels in the window, centered on each channel; odd, at least 1.
        k: Added to the energy, positive.
        alpha: Weight of the summed squares, positive; 1e-4 suits pixels of 0 to 255.
        beta: Exponent, positive.
        towers: Equal parts of the channels that do not see each other.

    Returns:
        Same shape and dtype as ``x``; computed in float32 or better.

    Raises:
        ValueError: ``size`` is even or below 1, or ``towers`` does not divide the channels.

    Examples:
        >>> x = torch.ones(1, 1, 1, 1)
        >>> response_normalization(x, size=1, k=1.0, alpha=1.0, beta=1.0).item()
        0.5
    """
    n, channels, height, width = x.shape
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size={size}: the window of channels is odd and at least 1")
    if channels % towers:
        raise ValueError(f"towers={towers} does not divide {channels} channels")
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels // towers)
    rows = _divide_rows(rows, size, k, alpha, beta)
    return rows.reshape(n, height, width, channels).permute(0, 3, 1, 2)


def _divide_rows(x: Tensor, size: int, k: float, alpha: float, beta: float) -> Tensor:
    """Normalize rows of channels, shape (N, C), in the way that suits the device."""
    if lrn_kernel.serves(x, size, beta):
        return lrn_kernel.FusedResponseNorm.apply(x, k, alpha)
    room: dict[int, Tensor] = {}

    def window(a: Tensor, b: Tensor) -> Tensor:
        if _blockwise(a):
            return _window_sum(a, b, size // 2, room)
        # A product with a band matrix is one pass over the memory of a GPU.
        channel = torch.arange(x.shape[1], device=a.device)
        band = ((channel[:, None] - channel).abs() <= size // 2).to(a.dtype)
        # Calls with `out` are exempt from autocast, which would take the sum in half precision.
        return torch.mm(a * b, band, out=torch.empty_like(a))

    return _DivideByEnergy.apply(x, window, k, alpha, beta)


def within_map_response_normalization(
    x: Tensor, *, size: int, alpha: float, k: float = 1.0, beta: float = 0.75
) -> Tensor:
    """Divide each activation by the energy of its neighbors in the same map.

    Paper: not in it; ``rnorm`` of the authors' code, which divides alpha by the window's area.

    Args:
        x: Activations, shape (N, C, H, W).
        size: Height and width of the window, centered on each pixel; odd. Beyond the borders are
            zeros.
        alpha: Weight of the mean square, positive.
        k: Added to the energy, positive.
        beta: Exponent, positive.

    Returns:
        Same shape and dtype as ``x``; computed in float32 or better.

    Examples:
        >>> x = torch.ones(1, 1, 1, 1)
        >>> within_map_response_normalization(x, size=1, alpha=1.0, beta=1.0).item()
        0.5
    """

    def window(a: Tensor, b: Tensor) -> Tensor:
        squares = (a * b).permute(0, 3, 1, 2)
        sums = F.avg_pool2d(squares, size, stride=1, padding=size // 2, divisor_override=1)
        return sums.permute(0, 2, 3, 1)

    # Conversions between precisions are fastest in the order of memory.
    last = x.permute(0, 2, 3, 1)
    return _DivideByEnergy.apply(last, window, k, alpha / size**2, beta).permute(0, 3, 1, 2)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class _DivideByEnergy(torch.autograd.Function):
    """x * (k + alpha * window(x, x)) ** -beta, with its gradient in closed form.

    ``window(a, b)`` sums a * b over neighbors in the same row (index 0), in which each of two
    neighbors counts for the other. Autograd would keep twice as many tensors and walk through
    each of them. Half precision is widened block by block, which never leaves the cache of a CPU.
    """

    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        window: Callable[[Tensor, Tensor], Tensor],
        k: float,
        alpha: float,
        beta: float,
    ):
        out = torch.empty_like(x)
        kept = torch.empty_like(x, dtype=_wide(x.dtype))
        # Not new_tensor, which copies from the host and has a GPU wait for it.
        base = kept.new_full((), k)
        for x_, kept_, out_ in _blocks(x, kept, out):
            wide = x_.to(kept.dtype)
            torch.add(base, window(wide, wide), alpha=alpha, out=kept_)
            if beta == 0.75:  # roots are cheaper than a power, and backward needs none again
                kept_.rsqrt_().sqrt_()
            torch.mul(_power(kept_, beta), wide, out=out_)
        ctx.save_for_backward(x, kept)
        ctx.window, ctx.alpha, ctx.beta = window, alpha, beta
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, kept = ctx.saved_tensors
        out = torch.empty_like(x)
        for x_, kept_, grad_, out_ in _blocks(x, kept, grad, out):
            wide = x_.to(kept.dtype)
            scaled = _power(kept_, ctx.beta).mul_(grad_.to(kept.dtype))
            through_energy = ctx.window(scaled, _inverse(kept_, ctx.beta).mul_(wide))
            scaled.addcmul_(through_energy, wide, value=-2 * ctx.alpha * ctx.beta)
            out_.copy_(scaled)
        return out, None, None, None, None


def _power(kept: Tensor, beta: float) -> Tensor:
    """Energy ** -beta, of the fourth root of 1 / energy (beta = 0.75) or of the energy."""
    if beta != 0.75:
        return kept**-beta
    return kept.square().mul_(kept)


def _inverse(kept: Tensor, beta: float) -> Tensor:
    """1 / energy, of the same."""
    return kept.reciprocal() if beta != 0.75 else kept.square().square_()


def _blockwise(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Cut tensors of one shape into blocks of rows; on a CPU they stay in its cache."""
    first = tensors[0]
    if not _blockwise(first):
        return [tensors]
    rows = max(1, 2**18 // (first.element_size() * first.shape[1:].numel()))
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def _window_sum(a: Tensor, b: Tensor, half: int, room: dict[int, Tensor]) -> Tensor:
    """Sum a * b over the ``half`` neighbors on both sides in a row; zeros lie beyond.

    On one core of a CPU, forward and backward with it take 0.9 (32 channels) to 0.6 (128) of the
    time of a product with a band matrix.

    Args:
        a: Shape (N, C).
        b: Same shape.
        half: Neighbors on each side.
        room: Memory for the products, by number of rows, which equally long blocks share.
    """
    n, channels = a.shape
    # With zeros after each row, a neighbor is a shift of flat memory, for every row.
    width = channels + half
    if n not in room:
        room[n] = a.new_zeros(half + n * width + half)
    flat = room[n]
    torch.mul(a, b, out=flat[half : half + n * width].view(n, width)[:, :channels])
    return _run_sum(flat, 2 * half + 1).view(n, width)[:, :channels]


def _run_sum(x: Tensor, length: int) -> Tensor:
    """x[i] + x[i + 1] + ..., ``length`` terms: in about 2 log2(length) additions."""
    if length == 1:
        return x
    reach = length // 2
    halved = _run_sum(x, reach)
    total = halved[:-reach] + halved[reach:]
    if length % 2:
        total = total[:-1].add_(x[length - 1 :])
    return total


class ResponseNorm(nn.Module):
    """:func:`response_normalization` as a layer."""

    def __init__(
        self,
        *,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        towers: int = 1,
    ) -> None:
        super().__init__()
        self.constants = {"size": size, "k": k, "alpha": alpha, "beta": beta, "towers": towers}

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to the same."""
        return response_normalization(x, **self.constants)


class WithinMapResponseNorm(nn.Module):
    """:func:`within_map_response_normalization` as a layer."""

    def __init__(self, *, size: int, alpha: float) -> None:
        super().__init__()
        self.size, self.alpha = size, alpha

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to the same."""
        return within_map_response_normalization(x, size=self.size, alpha=self.alpha)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalization by the statistics of the global batch.

    With one process it is ``torch.nn.BatchNorm2d``. With several, each may hold another number of
    images, none included; on any device that ``torch.distributed`` works on, where
    ``torch.nn.SyncBatchNorm`` needs a GPU.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to the same."""
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
    """Sum over the processes; the gradient of a sum is the sum of their gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


def norm_layer(kind: Norm, channels: int, response_norm: nn.Module) -> nn.Module:
    """The normalization that follows a layer of ``channels`` maps.

    Args:
        kind: Which normalization.
        channels: Number of maps.
        response_norm: What ``lrn`` is in this place: window and constants vary with the network.
    """
    match kind:
        case Norm.lrn:
            return response_norm
        case Norm.none:
            return nn.Identity()
        case Norm.batchnorm:
            return BatchNorm2d(channels)
