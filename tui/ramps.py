"""The colours of activations: several ramps, each for a dark and for a light background.

Along every ramp lightness rises or falls all the way, so that it can be read by anybody,
with any kind of colour blindness or none, and on a bad projector; its first level is a
hint of a colour that says: hardly anything.  What is below zero has a
ramp of its own; of the pairs, orange and blue, and purple and green, stay apart for the
colour-blind (C. Brewer's PuOr and PRGn); the others tell values below zero by a line
below them.  ``viridis`` is that of S. van der Walt and N. Smith (matplotlib, CC0).

All colours are members of the xterm 256 palette.
"""

from __future__ import annotations

from typing import NamedTuple


class Shades(NamedTuple):
    """Backgrounds of levels 1 to 8.

    Attributes:
        heat, cold: Above and below zero.
        heat_bars, cold_bars: Foregrounds of the lowest levels, where the backgrounds
            would be too dark for a bar; empty to take the first that is not.
    """

    heat: tuple[str, ...]
    cold: tuple[str, ...]
    heat_bars: tuple[str, ...] = ()
    cold_bars: tuple[str, ...] = ()


def _of(colours: str) -> tuple[str, ...]:
    return tuple(f"#{one}" for one in colours.split())


EMBER = "ember"
_GREYS = _of("262626 444444 585858 767676 949494 afafaf c6c6c6 e4e4e4")
_GREYS_LIGHT = _of("eeeeee d0d0d0 b2b2b2 9e9e9e 808080 626262 4e4e4e 303030")

#: By name: shades for a dark and for a light background.
RAMPS: dict[str, tuple[Shades, Shades]] = {
    EMBER: (
        Shades(
            _of("1c1c1c 5f0000 870000 af5f00 d75f00 ff8700 ffaf00 ffd75f"),
            _of("1c1c1c 000087 0000af 005f87 0087af 00afd7 5fd7ff afffff"),
            _of("875f00 875f00 af5f00"),
            _of("005f87 005f87 0087af"),
        ),
        Shades(
            _of("ffffd7 ffd7af ffd787 ffaf5f ff875f ff5f00 d70000 870000"),
            _of("d7ffff afd7ff 87d7ff 87afff 5f87ff 005fff 0000d7 000087"),
            _of("d7875f d7875f ff875f"),
            _of("5f87af 5f87af 5f87ff"),
        ),
    ),
    "viridis": (
        Shades(_of("262626 5f005f 5f0087 005f87 008787 00af87 87d75f ffff5f"), _GREYS),
        Shades(_of("ffffd7 ffff5f afd75f 5fd787 00af87 008787 005f87 5f005f"), _GREYS_LIGHT),
    ),
    "purple-green": (
        Shades(
            _of("262626 5f005f 870087 875f87 af5faf af87d7 d7afd7 ffd7ff"),
            _of("262626 005f00 005f5f 008700 5faf5f 87d787 afffaf d7ffd7"),
        ),
        Shades(
            _of("ffd7ff d7afff d787d7 af87af af5faf 875faf 870087 5f005f"),
            _of("d7ffd7 afffaf afd7af 87d787 5fd75f 5faf5f 008700 005f00"),
        ),
    ),
    "grey": (Shades(_GREYS, _GREYS), Shades(_GREYS_LIGHT, _GREYS_LIGHT)),
}


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, 0 to 1 (WCAG 2.2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def is_grey(colour: str) -> bool:
    """Whether ``#rrggbb`` has no hue."""
    return colour[1:3] == colour[3:5] == colour[5:7]
