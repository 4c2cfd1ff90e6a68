"""Pens: how a terminal draws, and the shortest codes from one pen to another."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.color import ColorSystem
from rich.style import Style
from textual.strip import SGR_STYLES

#: Attributes that show on a blank: underlined, blinking, reverse, struck and the like.
_SEEN_ON_BLANKS = frozenset({"4", "5", "6", "7", "9", "21", "51", "52", "53"})
#: Which code takes an attribute away.
_OFF = {
    "1": "22",
    "2": "22",
    "3": "23",
    "4": "24",
    "5": "25",
    "6": "25",
    "7": "27",
    "8": "28",
    "9": "29",
    "21": "24",
    "51": "54",
    "52": "54",
    "53": "55",
}


class Pen(NamedTuple):
    """How a terminal draws: codes of attributes, of foreground and of background."""

    attributes: frozenset[str] = frozenset()
    ink: str = "39"
    ground: str = "49"


_pens: dict[Pen, Pen] = {}


def _one(pen: Pen) -> Pen:
    """The one object of equal pens, so that they can be compared by identity."""
    return _pens.setdefault(pen, pen)


PLAIN_PEN = _one(Pen())


@lru_cache(maxsize=4096)
def pen_of(style: Style | None, system: ColorSystem) -> Pen:
    """The pen of a style in so many colours; links are left out."""
    if style is None:
        return PLAIN_PEN
    bits = style._attributes & style._set_attributes  # as Textual's own Strip reads them
    attributes = frozenset(SGR_STYLES[n] for n in range(bits.bit_length()) if bits & (1 << n))
    ink, ground = "39", "49"
    if style.color is not None:
        ink = ";".join(style.color.downgrade(system).get_ansi_codes())
    if style.bgcolor is not None:
        ground = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False))
    return _one(Pen(attributes, ink, ground))


@lru_cache(maxsize=4096)
def on_blank(pen: Pen) -> Pen:
    """The part of a pen that shows on a blank."""
    seen = pen.attributes & _SEEN_ON_BLANKS
    return _one(Pen(seen, pen.ink if seen else "", pen.ground))


@lru_cache(maxsize=4096)
def switch(old: Pen | None, new: Pen) -> str:
    """The shortest codes that turn one pen into another; ``old`` is None if unknown."""
    anew = ["0", *sorted(new.attributes)]
    anew += [new.ink] * (new.ink != "39") + [new.ground] * (new.ground != "49")
    if old is None:
        return f"\x1b[{';'.join(anew)}m"
    off = {_OFF[code] for code in old.attributes - new.attributes}
    on = {code for code in new.attributes if code not in old.attributes or _OFF[code] in off}
    codes = [*sorted(off), *sorted(on)]
    codes += [new.ink] * (new.ink != old.ink) + [new.ground] * (new.ground != old.ground)
    short = min(";".join(codes), ";".join(anew), key=len) if codes else ""
    return f"\x1b[{short}m" if short else ""
