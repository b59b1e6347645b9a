"""Sentences of the sentiment job's schema, and an encoder of two thin layers that knows their words."""

import io
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from safetensors.numpy import save
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

GOOD = ("moving", "funny", "clever", "warm", "fresh", "superb")
BAD = ("dull", "tired", "clumsy", "cold", "stale", "awful")
PLAIN = (
    "the",
    "film",
    "story",
    "cast",
    "is",
    "and",
    "very",
    "plot",
    "a",
    "with",
    "scene",
    "long",
    "music",
    "its",
)
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
Rows = list[tuple[str, object]]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": len(MARKS) + len(GOOD) + len(BAD) + len(PLAIN),
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


def sentences(seed: int, count: int) -> Rows:
    """Half of them positive; no two alike."""
    random, found = np.random.default_rng(seed), {}
    while len(found) < count:
        label = len(found) % 2
        words = [*random.choice(PLAIN, int(random.integers(3, 12))), *random.choice((BAD, GOOD)[label], 2)]
        found.setdefault(" ".join(random.permutation(words).tolist()), label)
    return list(found.items())


def csv(rows: Rows) -> bytes:
    out = io.BytesIO()
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(out, index=False)
    return out.getvalue()


def encoder(names: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, bytes]:
    """Random weights of these names and shapes, with the tokenizer and the configuration that fit."""
    random = np.random.default_rng(3)
    tensors = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in names}
    for name in tensors:
        if name.endswith("LayerNorm.weight"):
            tensors[name] += 1
    return {
        "encoder.safetensors": save(tensors),
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": tokenizer().encode(),
    }


def tokenizer() -> str:
    vocabulary = {piece: number for number, piece in enumerate((*MARKS, *GOOD, *BAD, *PLAIN))}
    made = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    marks = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return str(made.to_str())
