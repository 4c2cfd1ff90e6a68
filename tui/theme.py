"""Colours: three themes and what each part of the screen is drawn with.

Every colour of the two own themes is a member of the xterm 256 palette, because that
is what a terminal over SSH usually has: truecolor and 256 colours then agree, light
greys to within one step.  With 16 colours or none, activation is told by attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

from tui.ramps import EMBER, RAMPS, Shades, contrast, is_grey

LEVELS = 9
#: A bar in a colour of less contrast is not seen.
SEEN = 2.5
#: Heights of a bar by level, so that strength is never told by colour alone.
BARS = " ▁▂▃▄▅▆▇█"

DARK, LIGHT, PLAIN = "neuroglass-dark", "neuroglass-light", "neuroglass-plain"
#: What the own themes are called in the config file and on the command line.
SHORT = {"dark": DARK, "light": LIGHT, "plain": PLAIN}


@dataclass(frozen=True, slots=True)
class Palette:
    """Styles of everything drawn by lines.

    Attributes:
        text, dim, faint: Reading text, secondary text, and what may be overlooked.
        strong: Headings and numbers that matter.
        accent: The one accent colour.
        error: Failures.
        selected: The list's current row.
        cursor: The token under the cursor.
        heat, cold: Token styles for levels 0 to 8, of positive and negative values.
        heat_bars, cold_bars: The same levels as foregrounds, for bars.
    """

    text: Style
    dim: Style
    faint: Style
    strong: Style
    accent: Style
    error: Style
    selected: Style
    cursor: Style
    heat: tuple[Style, ...]
    cold: tuple[Style, ...]
    heat_bars: tuple[Style, ...]
    cold_bars: tuple[Style, ...]

    @property
    def marker(self) -> Style:
        """The accent on the ground of the selected row."""
        if self.accent.color is None:
            return self.selected
        return Style(color=self.accent.color, bgcolor=self.selected.bgcolor)

    def level(self, level: int) -> Style:
        """The token style of a signed level."""
        return self.heat[level] if level >= 0 else self.cold[-level]

    def bar(self, level: int) -> Style:
        """The bar style of a signed level."""
        return self.heat_bars[level] if level >= 0 else self.cold_bars[-level]


@dataclass(frozen=True, slots=True)
class _Colours:
    background: str
    text: str
    dim: str
    faint: str
    strong: str
    accent: str
    error: str
    selected: str
    ink: str  # text on a fill of the other lightness


_DARK = _Colours(
    background="#121212",
    text="#c6c6c6",
    dim="#8a8a8a",
    faint="#585858",
    strong="#eeeeee",
    accent="#ffaf5f",
    error="#ff8787",
    selected="#303030",
    ink="#121212",
)
_LIGHT = _Colours(
    background="#ffffff",
    text="#303030",
    dim="#626262",
    faint="#a8a8a8",
    strong="#080808",
    accent="#af5f00",
    error="#af0000",
    selected="#e4e4e4",
    ink="#ffffff",
)


def _theme(name: str, colours: _Colours, dark: bool) -> Theme:
    return Theme(
        name=name,
        primary=colours.accent,
        secondary=colours.dim,
        accent=colours.accent,
        warning=colours.accent,
        error=colours.error,
        success=colours.accent,
        foreground=colours.text,
        background=colours.background,
        surface=colours.background,
        panel=colours.selected,
        boost=colours.selected,
        dark=dark,
        variables={
            "rule": colours.selected,
            "input-cursor-background": colours.accent,
            "input-cursor-foreground": colours.background,
            "input-cursor-text-style": "none",
            "block-cursor-background": colours.selected,
            "block-cursor-foreground": colours.strong,
            "block-cursor-text-style": "none",
        },
    )


_PLAIN_THEME = Theme(
    name=PLAIN,
    ansi=True,
    primary="ansi_default",
    secondary="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    success="ansi_default",
    accent="ansi_default",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        "rule": "ansi_default",
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_default",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-cursor-text-style": "none",
        "input-selection-background": "ansi_white",
        "input-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_white",
        "screen-selection-foreground": "ansi_black",
    },
)

THEMES: tuple[Theme, ...] = (
    _theme(DARK, _DARK, True),
    _theme(LIGHT, _LIGHT, False),
    _PLAIN_THEME,
)


def _coloured(colours: _Colours, background: str, shades: Shades) -> Palette:
    def on(colour: str, ground: str = background, bold: bool | None = None) -> Style:
        return Style(color=colour, bgcolor=ground, bold=bold)

    def fills(ramp: tuple[str, ...], mark: Style) -> tuple[Style, ...]:
        inks = (max(colours.strong, colours.ink, key=lambda ink: contrast(ink, f)) for f in ramp)
        pairs = zip(inks, ramp, strict=True)
        return (on(colours.text), *(on(ink, fill) + mark for ink, fill in pairs))

    def bars(ramp: tuple[str, ...], low: tuple[str, ...]) -> tuple[Style, ...]:
        if not low:  # fills that are too near to the background for a thin bar
            first = next(n for n, one in enumerate(ramp) if contrast(one, background) >= SEEN)
            low = (ramp[first],) * first
        return tuple(on(colour) for colour in (colours.faint, *low, *ramp[len(low) :]))

    # Greys are told from what is above zero by a line below them.
    below_zero = Style(underline=True) if is_grey(shades.cold[-1]) else Style()
    return Palette(
        text=on(colours.text),
        dim=on(colours.dim),
        faint=on(colours.faint),
        strong=on(colours.strong, bold=True),
        accent=on(colours.accent),
        error=on(colours.error),
        selected=on(colours.strong, colours.selected),
        cursor=on(background, colours.strong, bold=True),
        heat=fills(shades.heat, Style()),
        cold=fills(shades.cold, below_zero),
        heat_bars=bars(shades.heat, shades.heat_bars),
        cold_bars=bars(shades.cold, shades.cold_bars),
    )


def _plain() -> Palette:
    """No colour at all: dim, plain, underlined, bold, reverse."""
    levels = (
        Style(dim=True),
        Style(),
        Style(),
        Style(underline=True),
        Style(underline=True),
        Style(bold=True, underline=True),
        Style(bold=True, underline=True),
        Style(reverse=True),
        Style(reverse=True),
    )
    bars = (Style(dim=True), *(Style() for _ in range(LEVELS - 1)))
    return Palette(
        text=Style(),
        dim=Style(dim=True),
        faint=Style(dim=True),
        strong=Style(bold=True),
        accent=Style(bold=True),
        error=Style(bold=True),
        selected=Style(reverse=True),
        cursor=Style(reverse=True, bold=True, italic=True, underline=True),
        heat=levels,
        cold=levels,
        heat_bars=bars,
        cold_bars=bars,
    )


def palette(theme: Theme, ramp: str = EMBER) -> Palette:
    """The palette that goes with a theme; any of Textual's own may be chosen too.

    Args:
        ramp: The colours of activations, one of :data:`tui.ramps.RAMPS`.
    """
    if theme.ansi:
        return _plain()
    colours = _DARK if theme.dark else _LIGHT
    background = theme.background or colours.background
    try:
        background = Color.parse(background).get_truecolor().hex
    except ValueError:
        background = colours.background
    return _coloured(colours, background, RAMPS[ramp][0 if theme.dark else 1])
