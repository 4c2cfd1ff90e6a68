"""A small editor for the note of one neuron."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from engine.neuron import NeuronId


class NoteScreen(ModalScreen[str]):
    """Escape keeps the text; there is no way to lose it by leaving."""

    BINDINGS: ClassVar = [("escape", "keep", "Save and close")]

    def __init__(self, neuron: NeuronId, text: str) -> None:
        super().__init__()
        self._neuron = neuron
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="note"):
            yield Static(f"Note on {self._neuron}   esc saves and closes", markup=False)
            area = TextArea(self._text, compact=True, id="note-text")
            area.cursor_blink = False
            yield area

    def action_keep(self) -> None:
        """Close with the text as it stands."""
        self.dismiss(self.query_one(TextArea).text)
