"""Write a network as a module in plain torch, with torchvision's names of the weights."""

from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor, nn

from ablations.config import ConfigError
from ablations.techniques.dropout import InvertedDropout, PaperDropout
from ablations.techniques.norm import ResponseNorm, WithinMapResponseNorm
from ablations.trained import TrainedNetwork
from ablations.words import count

TEMPLATES = Environment(
    loader=PackageLoader("ablations.exporting"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters["count"] = count

# Names of these layers in torchvision's AlexNet, within `features` and `classifier`. Other layers,
# such as normalizations, keep their names.
_PLACES = {
    **{"conv1": 0, "activation1": 1, "pool1": 2, "conv2": 3, "activation2": 4, "pool2": 5},
    **{"conv3": 6, "activation3": 7, "conv4": 8, "activation4": 9},
    **{"conv5": 10, "activation5": 11, "pool5": 12},
    **{"dropout5": 0, "fc6": 1, "activation6": 2, "dropout6": 3},
    **{"fc7": 4, "activation7": 5, "fc8": 6},
}


class PlainNetwork(NamedTuple):
    """A network without this package.

    Attributes:
        source: A Python file with a class ``Network`` that needs only torch.
        state: State dict of that class.
    """

    source: str
    state: dict[str, Tensor]


def plain_network(trained: TrainedNetwork) -> PlainNetwork:
    """Convert a trained network to layers of torch, with the same logits up to rounding.

    The paper's dropout halves the outputs of a dense layer at test time. Here the weights of the
    next layer are halved instead, as for torch's dropout, which doubles outputs in training.

    Args:
        trained: The network.

    Raises:
        ConfigError: A layer has no equivalent in torch.
    """
    state = {"mean": trained.mean.permute(2, 0, 1).contiguous()}
    parts: dict[str, list[tuple[str, str]]] = {"features": [], "classifier": []}
    helpers: set[str] = set()
    part, scale = "features", 1.0
    for name, layer in trained.network.named_children():
        if isinstance(layer, nn.Flatten):
            part = "classifier"
            continue
        if isinstance(layer, nn.Identity):  # a technique that is switched off
            continue
        place = str(_PLACES.get(name, name))
        code = _code(layer)
        if code is None:
            run = trained.run
            raise ConfigError(
                f"{trained.record.run_id}: layer {name} of model={run.model.value} "
                f"({type(layer).__name__}) has no equivalent in torch; next step: "
                "use it with ablations.load, or export a run of model=alexnet or alexnet_small"
            )
        parts[part].append((place, code))
        helpers.add(code.partition("(")[0])
        for key, value in layer.state_dict().items():
            halved = key == "weight" and isinstance(layer, nn.Linear)
            state[f"{part}.{place}.{key}"] = (value * scale if halved else value).contiguous()
        if isinstance(layer, PaperDropout):
            scale = 1 - layer.rate
        elif isinstance(layer, nn.Linear):
            scale = 1.0
    source = TEMPLATES.get_template("model.py.jinja").render(
        trained=trained, record=trained.record, parts=parts, helpers=helpers
    )
    return PlainNetwork(source, state)


def _code(layer: nn.Module) -> str | None:
    """Return the call that creates a layer; None if torch has no equivalent."""
    match layer:
        case nn.Conv2d():
            assert layer.padding_mode == "zeros"
            assert layer.dilation == (1, 1)
            given = (layer.in_channels, layer.out_channels, _one(layer.kernel_size))
            options = {"stride": _one(layer.stride), "padding": _one(layer.padding)}
            return _call("nn.Conv2d", *given, **options, groups=layer.groups)
        case nn.Linear():
            return _call("nn.Linear", layer.in_features, layer.out_features)
        case nn.ReLU() | nn.Tanh() | nn.Sigmoid():
            return _call(f"nn.{type(layer).__name__}")
        case nn.MaxPool2d() | nn.AvgPool2d():
            assert not layer.padding
            given = (layer.kernel_size, layer.stride)
            return _call(f"nn.{type(layer).__name__}", *given, ceil_mode=layer.ceil_mode)
        case nn.ZeroPad2d():
            return _call("nn.ZeroPad2d", tuple(layer.padding))
        case nn.BatchNorm2d():
            return _call(
                "nn.BatchNorm2d", layer.num_features, eps=layer.eps, momentum=layer.momentum
            )
        case PaperDropout() | InvertedDropout():
            return _call("nn.Dropout", layer.rate)
        case ResponseNorm(towers=1 | 2):
            # torch divides alpha by the size of the window.
            kind = "TowerNorm" if layer.towers == 2 else "nn.LocalResponseNorm"
            return _call(kind, 5, alpha=_short(5 * layer.alpha), beta=0.75, k=layer.k)
        case WithinMapResponseNorm():
            return _call("MapNorm", layer.size, alpha=layer.alpha)
    return None


def _call(name: str, *given: Any, **options: Any) -> str:
    defaults = {"stride": 1, "padding": 0, "groups": 1, "ceil_mode": False}
    words = [f"{key}={value}" for key, value in options.items() if value != defaults.get(key)]
    return f"{name}({', '.join([*map(str, given), *words])})"


def _one(sizes: Any) -> Any:
    """Return one number for a square, the sizes otherwise."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _short(value: float) -> float:
    """Return a product without rounding errors in its last digits."""
    return float(f"{value:.12g}")
