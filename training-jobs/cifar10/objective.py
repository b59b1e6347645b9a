"""What a sweep makes large: accuracy on training images that the trial's network has not seen."""

from images import Images, load_images
from learner import Run, fit, probabilities
from recipe import Train, chosen
from torch import nn

from trainkit.params import as_section
from trainkit.sweep import Params, Report

LEARNED = 10_000  # images; the test images are for the end alone
JUDGED = 2_000


def objective(params: Params, report: Report) -> float:
    given, images = as_section(params, "train", Train), load_images("train")
    learned = min(LEARNED, len(images) * 4 // 5)
    held = images.take(slice(max(learned, len(images) - JUDGED), None))

    def _after(epoch: int, network: nn.Module) -> None:
        report(epoch, _accuracy(network, held))

    run = Run(chosen(given), given.seed, given.threads, after=_after)
    return _accuracy(fit(images.take(slice(learned)), run), held)


def _accuracy(network: nn.Module, images: Images) -> float:
    """The network goes on learning afterwards, if it did before."""
    learning = network.training
    found = probabilities(network.eval(), images, 500)
    network.train(learning)
    return float((found.argmax(axis=1) == images.labels).mean())
