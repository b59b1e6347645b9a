"""A BERT from safetensors as plain arrays: which shapes it must have, and what it is after fine-tuning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import read_json
from trainkit.errors import TrainError

WEIGHTS, CONFIG, TOKENIZER = (
    Path("data") / name for name in ("encoder.safetensors", "config.json", "tokenizer.json")
)
Arrays = Mapping[str, NDArray[Any]]
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
    "max_position_embeddings",
)


@dataclass(frozen=True)
class Encoder:
    """`config` as transformers writes it; `tensors` by BERT's names; log-odds = mean of pieces . `head` + `bias`."""

    config: Mapping[str, Any]
    tensors: Arrays
    head: NDArray[np.float32]
    bias: float


def read_config() -> dict[str, Any]:
    """TrainError for what is not a BERT that encoder_graph.py knows how to write down."""
    config = read_json(CONFIG, "python -m trainkit fetch .")
    if (
        not isinstance(config, dict)
        or config.get("model_type") != "bert"
        or config.get("hidden_act") != "gelu"
    ):
        raise TrainError(
            f"{CONFIG}: model_type must be bert and hidden_act gelu; choose an encoder of that kind"
        )
    for name in SIZES:
        if not isinstance(config.get(name), int) or config[name] < 1:
            raise TrainError(f"{CONFIG}: {name} is {config.get(name)!r}; a whole number above 0 is needed")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise TrainError(
            f"{CONFIG}: hidden_size is not a multiple of num_attention_heads; is it the encoder's?"
        )
    return config


def read_tensors(config: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """The tensors of `config`, whether or not their names begin with `bert.`; others are left out."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = {name.removeprefix("bert."): values for name, values in load_file(WEIGHTS).items()}
    except FileNotFoundError:
        raise TrainError(f"{WEIGHTS} is missing: python -m trainkit fetch .") from None
    except (SafetensorError, OSError) as error:
        raise TrainError(
            f"{WEIGHTS} is not safetensors ({error}); give the encoder's model.safetensors"
        ) from None
    wanted = shapes(config)
    for name, shape in wanted.items():
        if name not in found or found[name].shape != shape:
            seen = list(found[name].shape) if name in found else "missing"
            raise TrainError(
                f"{WEIGHTS}: {name} is {seen}, {CONFIG} wants {list(shape)}; they must be one encoder's"
            )
    return {name: found[name].astype(np.float32) for name in wanted}


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    wide, inner = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], wide),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], wide),
        "embeddings.token_type_embeddings.weight": (config.get("type_vocab_size", 2), wide),
        **_pair("embeddings.LayerNorm", (wide,)),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ):
            found |= _pair(f"{layer}.{part}", (wide, wide))
        found |= _pair(f"{layer}.attention.output.LayerNorm", (wide,)) | _pair(
            f"{layer}.output.LayerNorm", (wide,)
        )
        found |= _pair(f"{layer}.intermediate.dense", (inner, wide)) | _pair(
            f"{layer}.output.dense", (wide, inner)
        )
    return found


def _pair(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def check_tokenizer(config: Mapping[str, Any]) -> None:
    """Its pieces must be rows of the encoder's table, or texts are read as something else."""
    vocabulary = read_json(TOKENIZER, "python -m trainkit fetch .").get("model", {}).get("vocab", {})
    if len(vocabulary) != config["vocab_size"]:
        raise TrainError(
            f"{TOKENIZER} has {len(vocabulary)} pieces, {CONFIG} has {config['vocab_size']}; they must be one encoder's"
        )
