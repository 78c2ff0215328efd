"""Kinds of int8 that networks are exported in: activations (u8: uint8, s8: int8), then weights (s8, or s7: 7 bits)."""

from typing import Literal, get_args

Int8Kind = Literal["u8s8", "s8s8", "u8s7"]
SUITS = "u8s8 suits x86, u8s7 x86 without VNNI, s8s8 ARM"
KINDS: tuple[Int8Kind, ...] = get_args(Int8Kind)


def as_kind(value: object) -> Int8Kind | None:
    """The kind of this name; None: there is none.

    Examples:
        >>> as_kind("u8s8"), as_kind("s4"), as_kind(None)
        ('u8s8', None, None)
    """
    return next((kind for kind in KINDS if kind == value), None)
