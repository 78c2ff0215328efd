"""Kinds of int8 that networks are exported in: activations (u8: uint8, s8: int8), then weights (s8, or s7: 7 bits)."""

from typing import Literal, get_args

Int8Kind = Literal["u8s8", "s8s8", "u8s7"]
SUITS = "u8s8 suits x86, u8s7 x86 without VNNI, s8s8 ARM"
KINDS: tuple[str, ...] = get_args(Int8Kind)
SUFFIX = rf"-({'|'.join(KINDS)})$"  # of an exported network's name
