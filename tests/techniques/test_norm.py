import importlib.util
import subprocess
import sys
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.techniques import norm
from ablations.techniques.norm import (
    BatchNorm2d,
    response_normalization,
    within_map_response_normalization,
)


def printed_formula(x: Tensor, k: float, alpha: float, towers: int) -> Tensor:
    """The formula of §3.3, one channel at a time; each tower has its own maps."""
    out = torch.empty_like(x)
    per_tower = x.shape[1] // towers
    for i in range(x.shape[1]):
        start = i // per_tower * per_tower
        low, high = max(start, i - 2), min(start + per_tower - 1, i + 2)
        energy = sum(x[:, j] ** 2 for j in range(low, high + 1))
        out[:, i] = x[:, i] / (k + alpha * energy) ** 0.75
    return out


@pytest.fixture
def x() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 12, 3, 4, dtype=torch.float64, generator=generator) * 100


@pytest.mark.parametrize("towers", [1, 2, 6])
def test_lrn_is_the_printed_formula(x: Tensor, towers: int) -> None:
    ours = response_normalization(x, towers=towers)
    torch.testing.assert_close(ours, printed_formula(x, 2.0, 1e-4, towers))


def test_the_closed_form_gradient_of_lrn_is_right(x: Tensor) -> None:
    x = (x[:, :6, :2, :2] / 50).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: response_normalization(x, alpha=0.3, towers=2), [x])


def test_the_gradient_is_the_same_in_blocks_of_the_cache() -> None:
    x = torch.randn(40, 8, 16, 16, requires_grad=True)
    ours = response_normalization(x, alpha=0.1)
    theirs = F.local_response_norm(x, 5, alpha=0.5, beta=0.75, k=2.0)
    weights = torch.randn(x.shape)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weights).sum(), x),
        torch.autograd.grad((theirs * weights).sum(), x),
    )


@pytest.mark.parametrize(
    "normalize",
    [
        lambda x: response_normalization(x, alpha=0.1, towers=2),
        lambda x: within_map_response_normalization(x, size=3, alpha=0.1),
    ],
)
def test_half_precision_is_rounded_once_in_each_pass(normalize) -> None:
    half = torch.randn(40, 32, 16, 16).bfloat16().to(memory_format=torch.channels_last)
    weights = torch.randn(half.shape).bfloat16()
    half.requires_grad_()
    wide = half.detach().float().requires_grad_()
    ours, exact = normalize(half), normalize(wide)
    assert torch.equal(ours, exact.bfloat16())
    (gradient,) = torch.autograd.grad(ours, half, weights)
    (expected,) = torch.autograd.grad(exact, wide, weights.float())
    assert torch.equal(gradient, expected.bfloat16())


def test_towers_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="towers=2 does not divide 3"):
        response_normalization(torch.zeros(1, 3, 1, 1), towers=2)


def test_within_map_lrn_sums_a_square_of_pixels(x: Tensor) -> None:
    alpha, expected = 0.01, torch.empty_like(x)
    for i in range(3):
        for j in range(4):
            square = x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2] ** 2
            expected[:, :, i, j] = x[:, :, i, j] / (1 + alpha / 9 * square.sum((2, 3))) ** 0.75
    torch.testing.assert_close(within_map_response_normalization(x, size=3, alpha=alpha), expected)


def test_the_closed_form_gradient_within_a_map_is_right(x: Tensor) -> None:
    x = (x[:1, :2] / 50).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: within_map_response_normalization(x, size=3, alpha=2.0), [x]
    )


def _normalize_a_share(rank: int, folder: str, x: Tensor, weights: Tensor) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    share = slice(0, 4) if rank == 0 else slice(4, 5)
    layer, x = BatchNorm2d(3).double(), x[share].requires_grad_()
    y = layer(x)
    (y * weights[share]).sum().backward()
    torch.save((y.detach(), x.grad, layer.running_var), f"{folder}/{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_uneven_shares_normalize_as_one(tmp_path) -> None:
    x, weights = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64)
    torch.multiprocessing.spawn(_normalize_a_share, (str(tmp_path), x, weights), nprocs=2)
    (y0, grad0, var0), (y1, grad1, var1) = (torch.load(tmp_path / str(i)) for i in range(2))
    alone, x = nn.BatchNorm2d(3).double(), x.requires_grad_()
    y = alone(x)
    (y * weights).sum().backward()
    torch.testing.assert_close(torch.cat([y0, y1]), y)
    torch.testing.assert_close(torch.cat([grad0, grad1]), x.grad)
    torch.testing.assert_close(var0, alone.running_var)
    assert torch.equal(var0, var1)


# The kernels for GPUs


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch):
    """A copy of the module whose kernels Triton's interpreter carries out, on the CPU."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.spec_from_file_location("interpreted_norm", norm.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def closed_form(x: Tensor, grad: Tensor, k: float, alpha: float, towers: int = 1):
    """Result and gradient in float64, on a CPU, where no kernel is used."""
    x = x.detach().cpu().double().requires_grad_()
    y = response_normalization(x, k=k, alpha=alpha, towers=towers)
    return y.detach(), torch.autograd.grad(y, x, grad.cpu().double())[0]


def assert_as_close_as_rounding(found: Tensor, exact: Tensor) -> None:
    rounding = {torch.float32: 1e-6, torch.bfloat16: 8e-3}[found.dtype]
    error = (found.detach().cpu().double() - exact).abs().max()
    assert error <= rounding * exact.abs().max()


# (N, C, H, W): one quad; one row; several rows of one program; several programs, the last not full.
SHAPES = [(1, 4, 1, 1), (1, 12, 1, 1), (2, 16, 3, 5), (3, 96, 7, 5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_kernels_compute_the_closed_form(interpreted, shape, dtype):
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, *shape, generator=generator).to(dtype)
    x = (100 * x).requires_grad_()
    rows = x.permute(0, 2, 3, 1).reshape(-1, shape[1])
    y = interpreted.FusedResponseNorm.apply(rows, 2.0, 1e-2)
    (slope,) = torch.autograd.grad(y, x, grad.permute(0, 2, 3, 1).reshape(-1, shape[1]))
    exact, exact_slope = closed_form(x, grad, 2.0, 1e-2)
    assert (y.dtype, slope.dtype) == (dtype, dtype)
    assert_as_close_as_rounding(y, exact.permute(0, 2, 3, 1).reshape(-1, shape[1]))
    assert_as_close_as_rounding(slope, exact_slope)


def test_response_normalization_hands_its_rows_and_constants_over(interpreted, monkeypatch):
    monkeypatch.setattr(interpreted, "kernels_take", lambda *given: True)
    x = (30 * torch.randn(2, 24, 3, 3)).contiguous(memory_format=torch.channels_last)
    x, grad = x.requires_grad_(), torch.randn(2, 24, 3, 3)
    y = interpreted.response_normalization(x, k=1.5, alpha=0.01, towers=2)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (slope,) = torch.autograd.grad(y, x, grad)
    exact, exact_slope = closed_form(x, grad, 1.5, 0.01, towers=2)
    assert_as_close_as_rounding(y, exact)
    assert_as_close_as_rounding(slope, exact_slope)


def test_an_empty_batch_starts_no_kernel():
    x = torch.zeros(0, 4, requires_grad=True)
    y = norm.FusedResponseNorm.apply(x, 2.0, 1e-4)
    y.sum().backward()
    assert y.shape == (0, 4)


def test_without_a_compiler_it_says_so_once_and_goes_the_other_way(monkeypatch):
    def fail(*given: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(norm, "_launch", fail)
    norm._compile.cache_clear()
    with pytest.warns(UserWarning, match="Failed to find C compiler"):
        assert not norm._compile(torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not norm._compile(torch.device("cpu"))
    norm._compile.cache_clear()


def test_without_triton_everything_else_works():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from ablations.techniques import norm\n"
        "assert norm.triton is None\n"
        "assert not norm._compile(torch.device('cpu'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kernel", ["_forward", "_backward"])
@pytest.mark.parametrize(("dtype", "bits"), [("fp32", 32), ("bf16", 16)])
def test_a_compiler_for_gpus_takes_the_kernels(kernel, dtype, bits, capability):
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointers = ["x", "out"] if kernel == "_forward" else ["x", "grad", "out"]
    signature = {name: f"*{dtype}" for name in pointers}
    signature |= {"quads": "i32", "per_row": "i32", "k": "fp32", "alpha": "fp32"}
    source = ASTSource(
        getattr(norm, kernel),
        {**signature, "QUADS": "constexpr"},
        constexprs={"QUADS": norm.QUADS},
        attrs={(place,): [["tt.divisibility", 16]] for place in range(len(pointers))},
    )
    target, options = GPUTarget("cuda", capability, 32), {"enable_fp_fusion": True}
    assert triton.compile(source, target, options).asm["ptx"]
