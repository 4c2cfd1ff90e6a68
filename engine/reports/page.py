"""The frame of a report: escaping, style, and a policy under which nothing is loaded or run.

A report is one file without scripts, fonts, pictures or links to elsewhere.  Its policy
allows its own style by its hash and nothing else, so even mark-up that got into it by a
mistake could neither run nor call home.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Sequence

from engine.glyphs import inert

#: Levels of the heatmaps, in tenths of the neuron's maximum.
LEVELS = 10

# Two ramps of rising contrast to the page, each of one order of lightness, so that they read
# the same to colour-blind people and in black and white: light ones after ColorBrewer's
# YlOrBr, dark ones after matplotlib's inferno.
_LIGHT = (
    "#fff9e0",
    "#fff1c0",
    "#fee79b",
    "#fed574",
    "#febe4a",
    "#fb9a29",
    "#ec7014",
    "#cc4c02",
    "#993404",
    "#662506",
)
_DARK = (
    "#2a1a4a",
    "#43206a",
    "#612479",
    "#832c78",
    "#a5366c",
    "#c4455a",
    "#dc5c43",
    "#ee7c28",
    "#f8a31b",
    "#f8e05c",
)
_NEGATIVE = ("#cfe3f3", "#123f63")


_BLACK, _WHITE = "#1b1b1b", "#ffffff"


def _ramp(colours: Sequence[str]) -> str:
    """A rule for each level, with whichever text can be read better on it."""
    return "".join(
        f".h{level}{{background:{colour};color:{_readable(colour)}}}"
        for level, colour in enumerate(colours, start=1)
    )


def _readable(background: str) -> str:
    """Black or white, by the contrast of WCAG 2."""
    page, black, white = map(_luminance, (background, _BLACK, _WHITE))
    return _BLACK if (page + 0.05) ** 2 > (black + 0.05) * (white + 0.05) else _WHITE


def _luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


_STYLE = (
    """
:root{color-scheme:light dark;--page:#fff;--ink:#1f2328;--dim:#5b6470;--line:#d7dce1;
--soft:#f4f6f8;--accent:#0b6bb8;--bar:#7d8b99}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;
padding-bottom:.25rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.3rem 0 .4rem}
p{margin:.4rem 0}.dim{color:var(--dim)}.small{font-size:.875rem}
blockquote{margin:.6rem 0;padding:.5rem .9rem;border-left:3px solid var(--accent);
background:var(--soft);font-size:1.1rem;overflow-wrap:anywhere}
table{border-collapse:collapse;margin:.5rem 0;font-size:.9rem}
.wide{overflow-x:auto}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;vertical-align:top;
border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--dim)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.6rem 0;
font-size:.9rem}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
.x{margin:.55rem 0 .9rem}
.x .t{font:14px/1.75 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
.x .two{padding-left:5.5rem;text-indent:-5.5rem}.x .two span{text-indent:0}
.x .w{display:inline-block;width:5.5rem;font:.75rem system-ui,sans-serif;color:var(--dim)}
.t span{border-radius:2px}.peak{outline:2px solid var(--ink);outline-offset:-1px}
.no{border-bottom:1px dotted var(--dim);color:var(--dim)}
.legend span{display:inline-block;min-width:1.5rem;text-align:center;font-size:.75rem}
details{margin:.4rem 0}summary{cursor:pointer;color:var(--accent)}
svg{display:block;max-width:100%;height:auto;margin:.5rem 0}
svg text{font:12px system-ui,sans-serif;fill:var(--dim)}
.bar{fill:var(--bar)}.axis{stroke:var(--line)}.mark{fill:var(--accent)}
.whisker{stroke:var(--accent);stroke-width:2}.chance{fill:none;stroke:var(--dim);stroke-width:1.5}
.chancebar{stroke:var(--dim);stroke-width:1.5}.warn{font-weight:600}
.tag{display:inline-block;border:1px solid var(--line);border-radius:1rem;padding:0 .6rem;
margin-right:.3rem;font-size:.85rem}
"""
    + _ramp(_LIGHT)
    + f".neg{{background:{_NEGATIVE[0]};color:#1b1b1b;text-decoration:underline dotted}}"
    + "@media (prefers-color-scheme:dark){:root{--page:#14171a;--ink:#e6e8ea;--dim:#a0a9b3;"
    + "--line:#333a41;--soft:#1d2125;--accent:#6cb6ff;--bar:#8793a0}"
    + _ramp(_DARK)
    + f".neg{{background:{_NEGATIVE[1]};color:#fff}}}}"
    + "@media print{details>*{display:block}main{max-width:none}}"
).replace("\n", "")


def document(title: str, body: Iterable[str]) -> str:
    """A whole HTML page. ``title`` is text, ``body`` is mark-up."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Any text inside mark-up: inert, so that nothing hides in it, and escaped."""
    return html.escape(inert(str(value)))


def number(value: float | None, form: str = ".3f") -> str:
    """A number, with a real minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "—"
    return format(value, form).replace("-", "−")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of mark-up cells; the first of each row names the row.

    Args:
        numeric: Columns that are aligned to the right.
    """

    def kind(column: int) -> str:
        return ' class="n"' if column in numeric else ""

    lines = [
        "<tr>" + "".join(f'<th scope="col"{kind(c)}>{h}</th>' for c, h in enumerate(head)) + "</tr>"
    ]
    for row in rows:
        first, *rest = row
        cells = "".join(f"<td{kind(c)}>{value}</td>" for c, value in enumerate(rest, start=1))
        lines.append(f'<tr><th scope="row"{kind(0)}>{first}</th>{cells}</tr>')
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and mark-up values."""
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs) + "</dl>"


def folded(summary: str, body: Iterable[str], *, opened: bool = False) -> str:
    """A part that opens with a click, without a script."""
    state = " open" if opened else ""
    return f"<details{state}><summary>{summary}</summary>\n" + "\n".join(body) + "\n</details>"
