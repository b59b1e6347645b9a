"""Batches of augmented images: shuffled, shifted, mirrored and greyed by draws of seed and epoch alone."""

from collections.abc import Iterator

import numpy as np
import torch
from images import SIDE, Images
from networks import DEVIATION, MEAN
from recipe import Recipe
from torch import Tensor

_EPOCHS = 100_003  # a prime above any number of epochs: each (seed, epoch) draws its own


class Batches:
    """Pairs of float32 [batch,3,32,32] (normalised) and int64 [batch]; each iteration is the next epoch.

    An epoch that starts again after a kill draws what it drew before: nothing of it needs to be stored.
    Where several processes train together, each takes its share of every batch.
    """

    def __init__(self, images: Images, recipe: Recipe, seed: int, epoch: int = 0) -> None:
        self.epoch = epoch
        self._images = images
        self._recipe = recipe
        self._seed = seed

    def __len__(self) -> int:
        return max(1, len(self._images) // self._recipe.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        draws = torch.Generator().manual_seed(self._seed * _EPOCHS + self.epoch)
        self.epoch += 1
        rank, world = _place()
        order = torch.randperm(len(self._images), generator=draws).numpy()
        for start in range(0, len(self) * self._recipe.batch, self._recipe.batch):
            rows = order[start : start + self._recipe.batch][rank::world]
            pixels = torch.from_numpy(self._images.pixels[rows])
            labels = torch.from_numpy(self._images.labels[rows])
            yield normalised(augmented(pixels, self._recipe.pad, self._recipe.cutout, draws)), labels


def _place() -> tuple[int, int]:
    """This process' rank among those that train together, and how many they are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def normalised(pixels: Tensor) -> Tensor:
    """uint8 [n,32,32,3] to float32 [n,3,32,32], channels last in memory."""
    return ((pixels.float() - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(0, 3, 1, 2)


def augmented(pixels: Tensor, pad: int, cutout: int, draws: torch.Generator) -> Tensor:
    """Each image shifted by up to `pad`, mirrored or not, a square of `cutout` pixels grey; uint8 [n,32,32,3]."""
    count = len(pixels)
    top, left = torch.randint(-pad, pad + 1, (2, count, 1), generator=draws)
    mirrored = torch.rand((count, 1), generator=draws) < 0.5
    side = torch.arange(SIDE)
    columns = torch.where(mirrored, side.flip(0), side)
    rows_at, columns_at = _reflected(side + top), _reflected(columns + left)
    found = pixels[torch.arange(count)[:, None, None], rows_at[:, :, None], columns_at[:, None, :]]
    return _greyed(found, cutout, draws) if cutout else found


def _reflected(places: Tensor) -> Tensor:
    """Places beyond an edge are those as far inside of it."""
    places = places.abs()
    return torch.where(places >= SIDE, 2 * (SIDE - 1) - places, places)


def _greyed(pixels: Tensor, cutout: int, draws: torch.Generator) -> Tensor:
    start = torch.randint(0, SIDE - cutout + 1, (2, len(pixels), 1), generator=draws)
    inside = (torch.arange(SIDE) >= start) & (torch.arange(SIDE) < start + cutout)
    square = inside[0][:, :, None] & inside[1][:, None, :]
    grey = torch.from_numpy(np.array(MEAN).round().astype(np.uint8))
    return torch.where(square[..., None], grey, pixels)
