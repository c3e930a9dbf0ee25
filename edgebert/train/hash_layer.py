"""The hash embedding in torch: the same bits as the C kernels, by integer operations alone.

Training needs only a frozen table of its vocabulary's vectors, which the C library makes as well.
The layer serves where there is no vocabulary, or where tokens are on another device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgebert.config import HashParams
from edgebert.hash_reference import MASK, columns, multipliers

_MOST_RESIDUES = 1 << 22  # computed at a time by table(): 32 MiB of int64


class HashEmbedding(nn.Module):
    """The function of docs/design.md; it has no parameters to learn and no state to save."""

    multipliers: Tensor

    def __init__(self, params: HashParams) -> None:
        super().__init__()
        self.params = params
        self.register_buffer("multipliers", torch.from_numpy(multipliers(params)), persistent=False)

    def forward(self, token_bytes: Tensor, lengths: Tensor) -> Tensor:
        """The vectors of tokens.

        Args:
            token_bytes: uint8 [..., max_bytes]; what lies behind a token's end does not matter.
            lengths: int64 [...], bytes of each token, 0 to max_bytes.

        Returns:
            float32 [..., dimension].

        Raises:
            ValueError: shapes that do not fit together, or a length beyond max_bytes.
        """
        if token_bytes.shape[:-1] != lengths.shape:
            raise ValueError(f"{tuple(lengths.shape)} lengths of {tuple(token_bytes.shape)} bytes")
        if bool(((lengths < 0) | (lengths > token_bytes.shape[-1])).any()):
            raise ValueError(f"a token's length must be 0 to {token_bytes.shape[-1]}")
        text = token_bytes.to(torch.int64)
        if self.params.boundary_marks:
            text, lengths = _mark(text, lengths)
        parts = [
            self._mean(text, lengths, i, self.multipliers[part])
            for i, part in enumerate(columns(self.params), 1)
        ]
        return torch.cat(parts, dim=-1)

    def table(self, tokens: Sequence[bytes]) -> Tensor:
        """The vectors of some tokens, float32 [len(tokens), dimension]."""
        result = torch.empty(len(tokens), self.params.dimension, device=self.multipliers.device)
        for length, indices in self._batches(tokens):
            data = b"".join(tokens[i] for i in indices)
            token_bytes = np.frombuffer(data, np.uint8).reshape(len(indices), length)
            batch = torch.tensor(token_bytes, device=result.device)
            result[indices] = self(batch, torch.full((len(indices),), length, device=result.device))
        return result

    def _batches(self, tokens: Sequence[bytes]) -> Iterator[tuple[int, list[int]]]:
        """Indices of tokens of equal length, so that nothing is padded, and few at a time."""
        by_length: dict[int, list[int]] = {}
        for index, token in enumerate(tokens):
            by_length.setdefault(len(token), []).append(index)
        for length, indices in by_length.items():
            most = max(1, _MOST_RESIDUES // ((length + 2) * self.params.dimension))
            for start in range(0, len(indices), most):
                yield length, indices[start : start + most]

    def _mean(self, text: Tensor, lengths: Tensor, i: int, h: Tensor) -> Tensor:
        """The columns of n-grams of length i, float32 [..., len(h)]."""
        if text.shape[-1] < i:
            return torch.zeros(*lengths.shape, len(h), device=text.device)
        num_grams = (lengths - i + 1).clamp(min=0)
        grams = text.unfold(-1, i, 1)  # [..., max_grams, i]
        modulus = self.params.modulus
        if self.params.family == "murmur3":
            residues = _murmur3_32(grams, h) % modulus
        else:
            residues = self._polynomial(grams)[..., None] * h % modulus
        symmetric = torch.where(residues > modulus // 2, residues - modulus, residues)
        is_gram = torch.arange(grams.shape[-2], device=text.device) < num_grams[..., None]
        total = (symmetric * is_gram[..., None]).sum(dim=-2)
        divisor = num_grams.clamp(min=1) * modulus  # total is 0 where there is no n-gram
        return ((2 * total).double() / divisor.double()[..., None]).float()

    def _polynomial(self, grams: Tensor) -> Tensor:
        """Polynomial hashes of n-grams, int64 [..., i] to [...]."""
        s = torch.zeros_like(grams[..., 0])
        for byte in grams.unbind(-1):
            s = (s * self.params.base + byte) % self.params.modulus
        return s


def _mark(text: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Put '<' before each token and '>' behind it."""
    marked = nn.functional.pad(text, (1, 1), value=ord("<"))
    marked.scatter_(-1, lengths[..., None] + 1, ord(">"))
    return marked, lengths + 2


def _multiply(x: Tensor, constant: int) -> Tensor:
    """The low 32 bits of x * constant, both below 2^32, without overflow of int64."""
    high = x * (constant >> 16) & 0xFFFF
    return (x * (constant & 0xFFFF) + (high << 16)) & MASK


def _rotate_left(x: Tensor, bits: int) -> Tensor:
    return (x << bits | x >> (32 - bits)) & MASK


def _murmur3_32(data: Tensor, seeds: Tensor) -> Tensor:
    """MurmurHash3 (x86, 32 bit) of bytes [..., i] with each seed [n]: int64 [..., n]."""
    size = data.shape[-1]
    h = seeds.expand(*data.shape[:-1], len(seeds))
    for start in range(0, size, 4):
        block = data[..., start : start + 4]
        k = torch.stack([byte << 8 * at for at, byte in enumerate(block.unbind(-1))]).sum(dim=0)
        k = _multiply(_rotate_left(_multiply(k, 0xCC9E2D51), 15), 0x1B873593)
        h = h ^ k[..., None]
        if block.shape[-1] == 4:
            h = (_multiply(_rotate_left(h, 13), 5) + 0xE6546B64) & MASK
    h = h ^ size
    h = _multiply(h ^ h >> 16, 0x85EBCA6B)
    h = _multiply(h ^ h >> 13, 0xC2B2AE35)
    return h ^ h >> 16
