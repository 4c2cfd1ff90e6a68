"""Screens that show a heatmap: how it is drawn is chosen on each and holds for all."""

from __future__ import annotations

from dataclasses import replace

from tui.look import Look
from tui.screens.frame import Frame


class Looker(Frame):
    """Figures, scale and colours of the heatmap."""

    @property
    def look(self) -> Look:
        """How excerpts are drawn."""
        return self._app.session.look

    def look_so(self, look: Look, remark: str = "") -> None:
        """Draw excerpts so from now on."""
        self._app.session.look = look
        self.draw_heatmap()
        self.say(remark)

    def draw_heatmap(self) -> None:
        """Draw the excerpts again, with the cursor where it is."""
        raise NotImplementedError

    def arrived(self) -> None:
        # Another screen may have chosen otherwise.
        self.draw_heatmap()

    def action_numbers(self) -> None:
        """Show values in figures, or stop showing them."""
        self.look_so(replace(self.look, numbers=not self.look.numbers))

    def action_scale(self) -> None:
        """Let colours reach to the neuron's extreme, or to each excerpt's own."""
        look = replace(self.look, per_excerpt=not self.look.per_excerpt)
        self.look_so(look, f"One scale per {'excerpt' if look.per_excerpt else 'neuron'}.")

    def action_colours(self) -> None:
        """Paint activations in the next set of colours."""
        self._app.next_ramp()
        self.say(f"Colours: {self._app.ramp}.")
