"""Compare training steps in bf16 and float32, and their two parts.

The parts are the products (convolutions and matrix products) and the rest of a step, of which
response normalization is shown separately.
"""

from collections.abc import Callable
from functools import partial

from torch.profiler import ProfilerActivity, profile

from ablations.config import Precision
from benchmarks.loops import bare, configure, store_of, suite
from benchmarks.measure import Row, alternate

PRODUCTS = {
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
}
NORMALIZATION = {"_DivideByEnergy", "_DivideByEnergyBackward"}


def bf16(rounds: int, seconds: float) -> list[Row]:
    """Compare training steps and their parts in bf16 and float32."""
    rows = []
    peer = "the same in float32"
    narrow = ("width=0.25", "edition=released")
    for name, words, steps in (
        ("cifar_conv", ("cifar_conv", 32, 28, 128), 40),
        ("alexnet_small-32", ("alexnet_small", 32, 24, 128, *narrow), 40),
        ("alexnet-227", ("alexnet", 256, 227, 16), 8),
    ):
        configs = {p.value: configure(*words, f"recipe.precision={p.value}") for p in Precision}
        data = store_of(configs["fp32"], steps)
        found = alternate(
            {precision: partial(suite, config, data) for precision, config in configs.items()},
            rounds,
            seconds,
        )
        bares = {precision: bare(config, data) for precision, config in configs.items()}
        parts: dict[str, list[dict[str, float]]] = {precision: [] for precision in configs}
        for _ in range(3 * rounds):
            for precision, step in bares.items():
                parts[precision].append(split(step))

        def part(which: str, precision: str, parts: dict = parts) -> list[float]:
            return [one[which] for one in parts[precision]]

        rest = part("rest", "bf16")
        rows += [
            Row(f"{name} in bf16", peer, found["bf16"], found["fp32"]),
            Row(
                f"{name}: products of a step in bf16",
                peer,
                part("products", "bf16"),
                part("products", "fp32"),
            ),
            Row(f"{name}: rest of a step in bf16", peer, rest, part("rest", "fp32")),
            Row(
                f"{name}: rest of a step in bf16",
                "its products",
                rest,
                part("products", "bf16"),
                less=True,
            ),
            Row(
                f"{name}: response normalization in bf16",
                "the whole step",
                part("normalization", "bf16"),
                part("step", "bf16"),
                less=True,
            ),
        ]
    return rows


def split(step: Callable[[], None]) -> dict[str, float]:
    """Return the milliseconds of a step's products, of the rest, of normalization, and of all."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    events = profiler.key_averages()
    whole = sum(event.self_cpu_time_total for event in events) / 1e3
    products = sum(event.self_cpu_time_total for event in events if event.key in PRODUCTS) / 1e3
    normalization = sum(e.cpu_time_total for e in events if e.key in NORMALIZATION) / 1e3
    return {
        "step": whole,
        "products": products,
        "rest": whole - products,
        "normalization": normalization,
    }
