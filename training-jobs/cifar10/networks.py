"""The networks: normalised float32 [n,3,32,32] to logits [n,10]."""

from collections.abc import Callable

import torch
from images import CLASSES
from recipe import Recipe
from torch import Tensor, nn

from trainkit.errors import TrainError

# Of the training images as they are, per channel in 0..255.
MEAN = (125.3, 123.0, 113.9)
DEVIATION = (63.0, 62.1, 66.7)
_PATCHES = 5000  # images from which the whitening is computed
_EPSILON = 5e-4


class Served(nn.Module):
    """What is exported: RGB in 0..1 to probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) / 255)
        self.register_buffer("scale", 255 / torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network((image - self.mean) * self.scale), dim=1)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> Tensor:
        return image + self.inner(image)


def build(recipe: Recipe) -> nn.Module:
    """With weights drawn from torch's seed, in the layout that a CPU convolves fastest."""
    kinds: dict[str, Callable[[tuple[int, ...]], nn.Module]] = {
        "plain": _plain,
        "whitened": _whitened,
        "resnet9": _resnet9,
    }
    if recipe.network not in kinds:
        raise TrainError(
            f"conf/{recipe.name}.yaml: network is {recipe.network!r}; known: {', '.join(sorted(kinds))}"
        )
    return kinds[recipe.network](recipe.widths).to(memory_format=torch.channels_last)


def whiten(network: nn.Module, images: Tensor) -> None:
    """Set the first layer of a `whitened` network from normalised `images`; other networks stay as they are.

    Its 24 filters are the whitening matrix of 2x2 patches and its negative (K. Jordan 2024, section 3.2).
    """
    stem = getattr(network, "stem", None)
    if not isinstance(stem, nn.Conv2d):
        return
    patches = images[:_PATCHES].unfold(2, 2, 1).unfold(3, 2, 1)
    rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    filters = (vectors / torch.sqrt(values + _EPSILON)).T.reshape(12, 3, 2, 2)
    stem.weight.data = torch.cat([filters, -filters]).float().contiguous(memory_format=torch.channels_last)


def _convolution(into: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel_size=3, padding=1, bias=False)


def _normal(into: int, out: int, pool: bool = False) -> nn.Sequential:
    """Pooled before normalisation, which is a quarter of the work of after."""
    shrink = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(_convolution(into, out), *shrink, nn.BatchNorm2d(out), nn.ReLU())


def _head(width: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(width, len(CLASSES))]


def _plain(widths: tuple[int, ...]) -> nn.Module:
    layers: list[nn.Module] = []
    for into, out in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(into, out, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    side = 32 >> len(widths)
    return nn.Sequential(*layers, *_head(widths[-1] * side * side))


class _Whitened(nn.Module):
    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, kernel_size=2)
        self.stem.weight.requires_grad = False
        pairs = zip((24, *widths), widths, strict=False)
        blocks = [
            block for into, out in pairs for block in (_normal(into, out, pool=True), _normal(out, out))
        ]
        self.body = nn.Sequential(nn.ReLU(), *blocks, nn.AdaptiveMaxPool2d(1), *_head(widths[-1]))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.body(self.stem(image))
        return logits


def _whitened(widths: tuple[int, ...]) -> nn.Module:
    return _Whitened(widths)


def _resnet9(widths: tuple[int, ...]) -> nn.Module:
    """Two of its stages have a residual pair, as D. Page's has."""
    one, two, three, four = widths
    return nn.Sequential(
        _normal(3, one),
        _normal(one, two, pool=True),
        Residual(nn.Sequential(_normal(two, two), _normal(two, two))),
        _normal(two, three, pool=True),
        _normal(three, four, pool=True),
        Residual(nn.Sequential(_normal(four, four), _normal(four, four))),
        nn.AdaptiveMaxPool2d(1),
        *_head(four),
    )
