"""Sending text to the clipboard of the terminal, wherever that is.

OSC 52 asks the terminal to take a text, and works over SSH.  Nothing comes back, so
nobody can say that it was taken.  Inside tmux it is ignored by default
(``set-clipboard external``); tmux's own ``load-buffer -w`` (3.2 or newer) keeps the text
as a buffer and hands it to the outer terminal.  GNU screen passes sequences on when they
are wrapped in pieces.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Mapping

#: Terminals drop what is longer: xterm and others keep about 75,000 bytes of base64.
LIMIT = 50_000
_SCREEN_PIECE = 700
_TMUX_SECONDS = 2.0


def sequences(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What to write on the terminal, so that it takes ``text``."""
    coded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    whole = f"\x1b]52;c;{coded}\x07"
    if "STY" not in environment:
        return whole
    pieces = (whole[n : n + _SCREEN_PIECE] for n in range(0, len(whole), _SCREEN_PIECE))
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)


async def send(
    text: str, write: Callable[[str], None], environment: Mapping[str, str] = os.environ
) -> str:
    """Send a text on its way; what can be said about it.

    Args:
        write: Writes on the terminal.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > LIMIT:
        return f"{size:,} bytes are more than terminals take; X writes to a file."
    if environment.get("TMUX") and await _to_tmux(text):
        return f"Sent {size:,} bytes to tmux and its terminal's clipboard."
    write(sequences(text, environment))
    return f"Sent {size:,} bytes to the terminal's clipboard."


async def _to_tmux(text: str) -> bool:
    """Whether tmux has taken the text as a buffer."""
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux",
            "load-buffer",
            "-w",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(process.communicate(text.encode("utf-8", "replace")), _TMUX_SECONDS)
    except TimeoutError:
        process.kill()
        return False
    return process.returncode == 0
