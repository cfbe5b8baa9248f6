#!/usr/bin/env python3
"""What a patch between two F16 or BF16 models needs: the conditional entropy of the target's numbers.

  bench/delta_entropy.py BASE.gguf TARGET.gguf

The symbol is the sign-magnitude difference, the context the base's exponent, with one static table for each tensor
(or one for all, "pooled"). Tables cost nothing here. Weights that are zero in the base are also shown apart: a zero
says nothing about the number that replaces it, and a table with the base's exponent as context is all that the model
has for it. F32 tensors of a half precision model (norms) are left out.
"""
import math
import sys
from array import array
from collections import Counter

from gguf_file import read_header

EXPONENT_SHIFT = {1: 10, 30: 7}  # by GGUF type: F16, BF16


def read_tensors(path):
    """Name -> (type, bits) of the half precision tensors."""
    with open(path, "rb") as source:
        header = read_header(source)
        tensors = {}
        for tensor in header.tensors:
            if tensor.kind not in EXPONENT_SHIFT:
                continue
            source.seek(header.data_offset + tensor.offset)
            bits = array("H")
            bits.frombytes(source.read(2 * math.prod(tensor.shape)))
            if sys.byteorder == "big":
                bits.byteswap()
            tensors[tensor.name] = tensor.kind, bits
        return tensors


def signed(bits):
    return -(bits & 0x7FFF) if bits & 0x8000 else bits


def entropy_bytes(joint):
    """Of the symbol given the context; joint counts (context, symbol)."""
    contexts = Counter()
    for (context, _), count in joint.items():
        contexts[context] += count
    bits = sum(n * math.log2(n) for n in contexts.values()) - sum(n * math.log2(n) for n in joint.values())
    return bits / 8


def main():
    base, target = read_tensors(sys.argv[1]), read_tensors(sys.argv[2])
    pooled, pooled_nonzero = Counter(), Counter()
    total, total_nonzero, zeros, weights = 0.0, 0.0, 0, 0
    print(f"{'tensor':32} {'weights':>9} {'changed':>8} {'zeros':>7} {'bytes':>9} {'without':>9}")
    for name, (kind, a) in base.items():
        b = target[name][1]
        shift = EXPONENT_SHIFT[kind]
        joint = Counter(((x & 0x7FFF) >> shift, signed(y) - signed(x)) for x, y in zip(a, b))
        zero = Counter(((x & 0x7FFF) >> shift, signed(y)) for x, y in zip(a, b) if not x & 0x7FFF)
        nonzero = joint - zero
        own, own_nonzero = entropy_bytes(joint), entropy_bytes(nonzero)
        zero_count = sum(zero.values())
        kept = sum(count for (_, symbol), count in joint.items() if symbol == 0)
        print(f"{name:32} {len(a):9} {1 - kept / len(a):8.3f} {zero_count:7} {own:9.0f} {own_nonzero:9.0f}")
        total, total_nonzero = total + own, total_nonzero + own_nonzero
        zeros, weights = zeros + zero_count, weights + len(a)
        pooled += joint
        pooled_nonzero += nonzero
    print(f"\n{weights} weights, {zeros} of them zero in the base")
    print(f"tables per tensor: {total:.0f} bytes; without the base's zeros {total_nonzero:.0f}")
    print(f"tables pooled:     {entropy_bytes(pooled):.0f} bytes; without the base's zeros {entropy_bytes(pooled_nonzero):.0f}")


main()
