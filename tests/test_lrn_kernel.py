import importlib
import re
import subprocess
import sys
import warnings

import pytest
import torch
from torch import Tensor

from ablations import lrn_kernel
from ablations.techniques.norm import response_normalization

triton = pytest.importorskip("triton")


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch):
    """The kernels carried out by Triton's interpreter, on the CPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    yield importlib.reload(lrn_kernel)
    monkeypatch.undo()
    importlib.reload(lrn_kernel)


def closed_form(x: Tensor, grad: Tensor, k: float, alpha: float, towers: int = 1):
    """Result and gradient in float64, on a CPU, where no kernel is used."""
    x = x.detach().cpu().double().requires_grad_()
    y = response_normalization(x, k=k, alpha=alpha, towers=towers)
    return y.detach(), torch.autograd.grad(y, x, grad.cpu().double())[0]


def assert_as_close_as_rounding(found: Tensor, exact: Tensor) -> None:
    rounding = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[found.dtype]
    error = (found.detach().cpu().double() - exact).abs().max()
    assert error <= rounding * exact.abs().max()


# (N, C, H, W): one quad; one row; several rows of one program; several programs, the last not full.
SHAPES = [(1, 4, 1, 1), (1, 12, 1, 1), (2, 16, 3, 5), (3, 96, 7, 5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
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


@pytest.mark.parametrize("towers", [1, 2])
def test_response_normalization_hands_its_rows_and_constants_over(interpreted, monkeypatch, towers):
    monkeypatch.setattr(interpreted, "serves", lambda rows, size, beta: rows.dtype != torch.float64)
    x = (30 * torch.randn(2, 24, 3, 3)).contiguous(memory_format=torch.channels_last)
    x, grad = x.requires_grad_(), torch.randn(2, 24, 3, 3)
    y = response_normalization(x, k=1.5, alpha=0.01, towers=towers)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (slope,) = torch.autograd.grad(y, x, grad)
    exact, exact_slope = closed_form(x, grad, 1.5, 0.01, towers)
    assert_as_close_as_rounding(y, exact)
    assert_as_close_as_rounding(slope, exact_slope)


def test_an_evaluation_may_come_first(interpreted):
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert interpreted._compile(torch.device("cpu"))
        y = interpreted.FusedResponseNorm.apply(torch.ones(1, 4), 1.0, 1.0)
    torch.testing.assert_close(y, torch.tensor([[4.0, 5.0, 5.0, 4.0]]) ** -0.75)


def test_an_empty_batch_starts_no_kernel():
    x = torch.zeros(0, 4, requires_grad=True)
    y = lrn_kernel.FusedResponseNorm.apply(x, 2.0, 1e-4)
    y.sum().backward()
    assert y.shape == (0, 4)


def test_a_cpu_is_not_served():
    assert not lrn_kernel.serves(torch.zeros(1, 4), 5, 0.75)


@pytest.mark.parametrize(
    ("x", "size", "beta"),
    [
        (torch.zeros(1, 4), 3, 0.75),
        (torch.zeros(1, 4), 5, 1.0),
        (torch.zeros(1, 6), 5, 0.75),
        (torch.zeros(1, 4, dtype=torch.float64), 5, 0.75),
    ],
    ids=["window", "exponent", "channels", "float64"],
)
def test_what_the_kernels_cannot_do_goes_the_other_way(monkeypatch, x, size, beta):
    monkeypatch.setattr(lrn_kernel, "_compile", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    assert lrn_kernel.serves(torch.zeros(1, 4), 5, 0.75)
    assert not lrn_kernel.serves(x, size, beta)


def test_without_a_compiler_it_says_so_once_and_goes_the_other_way(monkeypatch):
    def fail(*given: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(lrn_kernel, "_launch", fail)
    lrn_kernel._compile.cache_clear()
    with pytest.warns(
        UserWarning, match="many more passes over memory .*Failed to find C compiler"
    ):
        assert not lrn_kernel._compile(torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not lrn_kernel._compile(torch.device("cpu"))
    lrn_kernel._compile.cache_clear()


def test_without_triton_everything_else_works():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from ablations import lrn_kernel\n"
        "assert lrn_kernel.triton is None\n"
        "assert not lrn_kernel._compile(torch.device('cpu'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kernel", ["_forward", "_backward"])
@pytest.mark.parametrize(("dtype", "bits"), [("fp32", 32), ("bf16", 16)])
def test_a_compiler_for_gpus_takes_the_kernels(kernel, dtype, bits, capability):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointers = ["x", "out"] if kernel == "_forward" else ["x", "grad", "out"]
    signature = {name: f"*{dtype}" for name in pointers}
    signature |= {"quads": "i32", "per_row": "i32", "k": "fp32", "alpha": "fp32"}
    source = ASTSource(
        getattr(lrn_kernel, kernel),
        {**signature, "QUADS": "constexpr"},
        constexprs={"QUADS": lrn_kernel.QUADS},
        attrs={(place,): [["tt.divisibility", 16]] for place in range(len(pointers))},
    )
    target, options = GPUTarget("cuda", capability, 32), {"enable_fp_fusion": True}
    compiled = triton.compile(source, target, options)
    ptx = compiled.asm["ptx"]
    # A load carries four activations; each of the quads around a thread is loaded once.
    loads = re.findall(r"ld\.global\.v(\d)\.b(\d+)", ptx)
    assert {int(count) * int(width) for count, width in loads} == {4 * bits}
    assert len(loads) == 3 * (len(pointers) - 1) * 2  # two quads a thread
    # The energies that neighbors share are computed once: 4 forward, 8 backward.
    assert len(re.findall(r"rsqrt\.approx", ptx)) == 2 * (4 if kernel == "_forward" else 8)
    assert compiled.metadata.shared == 0
