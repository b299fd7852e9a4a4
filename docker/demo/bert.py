"""MiniLM's forward pass in numpy: WordPiece tokens -> BERT encoder -> mean of the tokens -> length 1.

The names of the tensors are those of the safetensors file of sentence-transformers/all-MiniLM-L6-v2.
"""

import json
import os

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Array = NDArray[np.float32]

MOST_TOKENS = 256  # what the model was trained with; a longer text is cut
BATCH = 32  # texts in one pass: bounds the memory of a request


class Bert:
    """`embed(texts)` -> one row of length 1 for each text. May be called from several threads."""

    def __init__(self, folder: str) -> None:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.layers: int = config["num_hidden_layers"]
        self.heads: int = config["num_attention_heads"]
        self.eps: float = config["layer_norm_eps"]
        self.weights: dict[str, Array] = load_file(os.path.join(folder, "model.safetensors"))
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.tokenizer.enable_padding(pad_id=config["pad_token_id"])  # to the longest of the batch

    def embed(self, texts: list[str]) -> Array:
        return np.concatenate([self._embed(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)])

    def _embed(self, texts: list[str]) -> Array:
        encoded = self.tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded], dtype=np.float32)[:, :, None]
        hidden = self._encode(ids, mask)
        mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)  # [CLS] and [SEP] count, padding does not
        unit: Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit

    def _encode(self, ids: NDArray[np.int64], mask: Array) -> Array:
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        places = self.weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kinds = self.weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(words + places + kinds, "embeddings.LayerNorm")
        blind = (1 - mask[:, None, :, 0][:, :, None, :]) * np.float32(-1e9)  # nobody looks at the padding
        for number in range(self.layers):
            name = f"encoder.layer.{number}"
            seen = self._linear(self._attend(hidden, blind, f"{name}.attention.self"), f"{name}.attention.output.dense")
            hidden = self._norm(hidden + seen, f"{name}.attention.output.LayerNorm")
            wide = gelu(self._linear(hidden, f"{name}.intermediate.dense"))
            hidden = self._norm(hidden + self._linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return hidden

    def _attend(self, hidden: Array, blind: Array, name: str) -> Array:
        count, length, width = hidden.shape

        def split(part: str) -> Array:  # (text, head, token, width of a head)
            flat = self._linear(hidden, f"{name}.{part}")
            return flat.reshape(count, length, self.heads, width // self.heads).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // self.heads)) + blind
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined: Array = (weights @ value).transpose(0, 2, 1, 3).reshape(count, length, width)
        return joined

    def _linear(self, x: Array, name: str) -> Array:
        y: Array = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return y

    def _norm(self, x: Array, name: str) -> Array:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(self.eps))
        y: Array = x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return y


def gelu(x: Array) -> Array:
    """Return x * Phi(x), the exact form BERT was trained with (not the tanh one)."""
    y: Array = x * np.float32(0.5) * (1 + erf(x * np.float32(np.sqrt(0.5))))
    return y


def erf(x: Array) -> Array:
    """Abramowitz and Stegun 7.1.26: off by at most 1.5e-7, which is what float32 can tell apart."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    y: Array = np.sign(x) * (1 - series * np.exp(-x * x))
    return y
