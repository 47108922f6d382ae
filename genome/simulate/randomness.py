"""Chance that depends on (seed, block, stream) only, so that no order of work can change a byte."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# The names say what is meant; mypy cannot follow NumPy's promotions between widths.
Ints = npt.NDArray[Any]
Floats = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

WORLD = 0
"""The block number of what all blocks share; blocks of people count from 1."""

_HEX = np.array([b"%04x" % number for number in range(65536)], dtype="S4")


@dataclass(frozen=True)
class Chance:
    """The random streams of one block."""

    seed: int
    block: int

    def stream(self, name: str) -> np.random.Generator:
        """The generator of this name: asking twice gives the same numbers twice."""
        key = (self.block, zlib.crc32(name.encode()))
        return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(self.seed, spawn_key=key)))


def mixed(salt: int, numbers: Ints) -> npt.NDArray[np.uint64]:
    """A bijection of 64-bit numbers (splitmix64): names that do not tell the number behind them."""
    with np.errstate(over="ignore"):
        value = numbers.astype(np.uint64) + np.uint64(
            (salt * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64
        )
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))


def names(kind: str, seed: int, numbers: Ints, prefix: str = "") -> pa.Array:
    """16 hexadecimal digits for each number: other ones for each kind and seed, never twice the same."""
    value = mixed(zlib.crc32(f"{kind}/{seed}".encode()), numbers)
    digits = np.empty((len(value), 4), dtype="S4")
    for place in range(4):
        digits[:, place] = _HEX[(value >> np.uint64(48 - 16 * place)) & np.uint64(0xFFFF)]
    lead = np.full((len(value), 1), prefix.encode(), dtype=f"S{max(1, len(prefix))}")
    whole = np.concatenate([lead.view("u1"), digits.view("u1")], axis=1) if prefix else digits
    whole = np.ascontiguousarray(whole)
    width = 16 + len(prefix)
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(value), [None, pa.py_buffer(whole.tobytes())]
    )
    return fixed.cast(pa.binary()).cast(pa.string())


def shuffled_numbers(kind: str, seed: int, numbers: Ints, digits: int) -> Ints:
    """Different numbers of so many digits for different numbers: as card and phone numbers look."""
    prime = {7: 9_999_991, 9: 999_999_937, 10: 9_999_999_967}[digits]
    salt = zlib.crc32(f"{kind}/{seed}".encode())
    factor = 1_000_003 + 2 * (salt % 4001)
    return (numbers * factor + salt) % prime
