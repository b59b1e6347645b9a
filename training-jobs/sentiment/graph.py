"""Words, and the encoder where there is one, as one graph: terms, counts, pieces, mask -> label, score."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from encoder import Encoder
from network import FLOAT, INT64, STRING, Network
from numpy.typing import NDArray
from texts import CLASSES
from words import Words

from trainkit.graph import BATCH

INPUTS: dict[str, tuple[int, list[Any]]] = {
    "terms": (INT64, [BATCH, "terms"]),
    "counts": (FLOAT, [BATCH, "terms"]),
}
PIECES: dict[str, tuple[int, list[Any]]] = {
    "pieces": (INT64, [BATCH, "pieces"]),
    "mask": (FLOAT, [BATCH, "pieces"]),
}


@dataclass(frozen=True)
class Trained:
    """Log-odds of positive: `words_weight` times the words' and, with an encoder, the encoder's."""

    words: Words
    encoder: Encoder | None
    words_weight: float


def sentiment_graph(trained: Trained, small: bool) -> bytes:
    """`small`: the encoder's weights in int8."""
    network, inputs = Network(), INPUTS
    odds = _words(network, trained.words)
    if trained.encoder is not None:
        inputs = INPUTS | PIECES
        weighed = network.add("Mul", odds, network.constant(trained.words_weight))
        odds = network.add("Add", weighed, _encoder(network, trained.encoder, small))
    score = network.add("Sigmoid", odds, to="score")
    chosen = network.cast(network.add("Greater", score, network.constant(0.5)), INT64)
    network.add("Gather", network.texts(CLASSES), chosen, to="label")
    return network.written(inputs, {"label": STRING, "score": FLOAT})


def _words(network: Network, words: Words) -> str:
    """Terms are padded with the number after the last, which weighs nothing."""
    idf, weights = (network.constant(np.append(values, 0.0)) for values in (words.idf, words.weights))
    times = network.add("Add", network.add("Log", "counts"), network.constant(1.0))
    values = network.add("Mul", times, network.add("Gather", idf, "terms"))
    last = network.constant([-1], np.int64)
    square = network.add("ReduceSum", network.add("Mul", values, values), last, keepdims=0)
    length = network.add("Max", network.add("Sqrt", square), network.constant(1e-12))
    votes = network.add("Mul", values, network.add("Gather", weights, "terms"))
    found = network.add("Div", network.add("ReduceSum", votes, last, keepdims=0), length)
    return network.add("Add", found, network.constant(words.bias))


def _encoder(network: Network, encoder: Encoder, small: bool) -> str:
    states = _embedded(network, encoder, small)
    away = network.add("Mul", network.add("Sub", "mask", network.constant(1.0)), network.constant(1e9))
    away = network.add("Unsqueeze", away, network.constant([1, 2], np.int64))
    for number in range(encoder.config["num_hidden_layers"]):
        states = _layer(network, encoder, f"encoder.layer.{number}", states, away, small)
    last, second = network.constant([-1], np.int64), network.constant([1], np.int64)
    weights = network.add("Unsqueeze", "mask", last)
    total = network.add("ReduceSum", network.add("Mul", states, weights), second, keepdims=0)
    mean = network.add("Div", total, network.add("ReduceSum", weights, second, keepdims=0))
    odds = network.add("MatMul", mean, network.constant(encoder.head))
    return network.add("Add", odds, network.constant(encoder.bias))


def _embedded(network: Network, encoder: Encoder, small: bool) -> str:
    tensors = encoder.tensors
    words = _looked_up(network, tensors["embeddings.word_embeddings.weight"], small)
    kinds = tensors["embeddings.token_type_embeddings.weight"][0]
    places = network.constant(tensors["embeddings.position_embeddings.weight"] + kinds)
    size = network.add("Gather", network.add("Shape", "pieces"), network.constant([1], np.int64))
    near = network.add("Slice", places, network.constant([0], np.int64), size)
    return _normed(network, encoder, "embeddings.LayerNorm", network.add("Add", words, near))


def _looked_up(network: Network, table: NDArray[Any], small: bool) -> str:
    """Rows of the table; `small`: int8 with one scale a row."""
    if not small:
        return network.add("Gather", network.constant(table), "pieces")
    scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-8) / 127
    rounded = network.constant(np.rint(table / scales), np.int8)
    rows = network.cast(network.add("Gather", rounded, "pieces"), FLOAT)
    return network.add("Mul", rows, network.add("Gather", network.constant(scales), "pieces"))


def _layer(network: Network, encoder: Encoder, name: str, states: str, away: str, small: bool) -> str:
    mixed = _attention(network, encoder, f"{name}.attention", states, away, small)
    states = _normed(
        network, encoder, f"{name}.attention.output.LayerNorm", network.add("Add", states, mixed)
    )
    wide = network.add("Gelu", _dense(network, encoder, f"{name}.intermediate.dense", states, small))
    narrow = _dense(network, encoder, f"{name}.output.dense", wide, small)
    return _normed(network, encoder, f"{name}.output.LayerNorm", network.add("Add", states, narrow))


def _attention(network: Network, encoder: Encoder, name: str, states: str, away: str, small: bool) -> str:
    heads = encoder.config["num_attention_heads"]
    weights, bias = _query_key_value(encoder, f"{name}.self", heads)
    parts = network.split(network.linear(states, weights, bias, small), 3)
    shape = network.constant([0, 0, heads, -1], np.int64)
    query, key, value = (
        network.add("Transpose", network.add("Reshape", part, shape), perm=perm)
        for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    likeness = network.add("Add", network.add("MatMul", query, key), away)
    seen = network.add("MatMul", network.add("Softmax", likeness, axis=-1), value)
    joined = network.add("Transpose", seen, perm=[0, 2, 1, 3])
    flat = network.add("Reshape", joined, network.constant([0, 0, encoder.config["hidden_size"]], np.int64))
    return _dense(network, encoder, f"{name}.output.dense", flat, small)


def _query_key_value(encoder: Encoder, name: str, heads: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Three products as one; the square root of attention is in the query's weights already."""
    root = (encoder.config["hidden_size"] / heads) ** -0.5
    parts = [
        (encoder.tensors[f"{name}.{part}.weight"].T, encoder.tensors[f"{name}.{part}.bias"]) for part in PARTS
    ]
    (query, shift), *others = parts
    weights = [query * root, *(weight for weight, _ in others)]
    return np.concatenate(weights, axis=1), np.concatenate([shift * root, *(bias for _, bias in others)])


PARTS = ("query", "key", "value")


def _dense(network: Network, encoder: Encoder, name: str, given: str, small: bool) -> str:
    weights, bias = encoder.tensors[f"{name}.weight"].T, encoder.tensors[f"{name}.bias"]
    return network.linear(given, weights, bias, small)


def _normed(network: Network, encoder: Encoder, name: str, given: str) -> str:
    scale, shift = (network.constant(encoder.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
    epsilon = float(encoder.config.get("layer_norm_eps", 1e-12))
    return network.add("LayerNormalization", given, scale, shift, axis=-1, epsilon=epsilon)
