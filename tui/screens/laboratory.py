"""The way from the explorer to other screens, and back to a neuron found there."""

from __future__ import annotations

from engine.neuron import NeuronId
from tui.screens.browser import Browser


class Laboratory(Browser):
    """Opens the effects screen, the prompt lab and the triage."""

    def _lacks_model(self) -> bool:
        """Whether there are published neurons alone; says so."""
        lacks = self.engine is not None and self.engine.dataset is not None
        if lacks:
            self.say("Published neurons have no model behind them.")
        return lacks

    def action_effects(self) -> None:
        """Show what the neuron reads and writes by its weights, and what is like it."""
        if self.engine is None or self.neuron_view is None or self._lacks_model():
            return
        from tui.screens.effects import EffectsScreen

        self.app.push_screen(EffectsScreen(self.engine, self.session.neuron), self._open)

    def action_prompt(self) -> None:
        """Type a text, watch the neuron on it, take it away, turn it up."""
        if self.engine is None or self.neuron_view is None or self._lacks_model():
            return
        from tui.screens.prompt_lab import PromptScreen

        screen = PromptScreen(self.engine, self.session.neuron, self.session.prompt)

        def left(neuron: NeuronId | None) -> None:
            self.session.prompt = screen.text
            self._open(neuron)

        self.app.push_screen(screen, left)

    def action_triage(self) -> None:
        """Explain a layer or the whole model in the background; rank what is explained."""
        if self.engine is None or self.neuron_view is None or self._lacks_model():
            return
        from tui.screens.triage import TriageScreen

        def left(neuron: NeuronId | None) -> None:
            self._open(neuron)
            self._feed.again()

        self.app.push_screen(TriageScreen(self.engine, self.session.neuron), left)

    def _open(self, neuron: NeuronId | None) -> None:
        if neuron is not None:
            self.choose(neuron)
