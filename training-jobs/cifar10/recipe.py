"""How a network is trained: a file of conf/, composed by Hydra, with what params.yaml changes of it."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from trainkit.errors import TrainError
from trainkit.limits import AboveZero, Between, Seed, Variant

CONF = Path("conf")


@dataclass(frozen=True)
class Train:
    """Section `train` of params.yaml."""

    variant: Variant
    recipe: str
    epochs: Annotated[int, Between(0, 10_000)]
    learning_rate: Annotated[float, AboveZero(1000)]
    weight_decay: Annotated[float, Between(0, 1000)]
    label_smoothing: Annotated[float, Between(0, 0.99)]
    threads: Annotated[int, Between(1, 1024)]
    seed: Seed


@dataclass(frozen=True)
class Recipe:
    """conf/base.yaml says what each field is; `name` is the file's."""

    name: str
    network: str
    widths: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    warm_up: float
    momentum: float
    weight_decay: float
    pad: int
    cutout: int
    accelerator: str
    precision: str
    label_smoothing: float


def chosen(params: Train) -> Recipe:
    """The recipe of the variant that params.yaml names, with its changes."""
    if params.variant == "baseline":
        return baseline(params.label_smoothing)
    found = composed(params.recipe, params.label_smoothing)
    return replace(
        found,
        epochs=params.epochs or found.epochs,
        learning_rate=found.learning_rate * params.learning_rate,
        weight_decay=found.weight_decay * params.weight_decay,
    )


def baseline(label_smoothing: float) -> Recipe:
    """Never changed by what a sweep varies: it is what the others are compared with."""
    return composed("baseline", label_smoothing)


def composed(name: str, label_smoothing: float) -> Recipe:
    from hydra import compose, initialize_config_dir
    from hydra.errors import MissingConfigException
    from omegaconf import OmegaConf

    if not (CONF / f"{name}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "base"))
        raise TrainError(f"params.yaml: train.recipe is {name!r}; known: {known}")
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            found = OmegaConf.to_container(compose(name), resolve=True)
    except MissingConfigException as error:
        raise TrainError(f"{CONF / name}.yaml: {str(error).partition(chr(10))[0]}") from None
    return _recipe(name, {**found, "label_smoothing": label_smoothing})  # type: ignore[dict-item]


def _recipe(name: str, found: dict[str, Any]) -> Recipe:
    names = {one.name for one in fields(Recipe)} - {"name"}
    for wrong in sorted(names ^ set(found)):
        told = (
            "is missing" if wrong in names else f"is no field of a recipe; known: {', '.join(sorted(names))}"
        )
        raise TrainError(f"{CONF / name}.yaml: {wrong} {told}")
    return Recipe(name=name, **{**found, "widths": tuple(found["widths"])})
