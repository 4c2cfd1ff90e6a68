"""The frame of every screen: moving, finding, asking, and what can be done everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual import on

from engine.glyphs import inert
from tui.actions import Action, actions_of
from tui.find import next_of
from tui.screens.parts import Parts
from tui.widgets.help import Help
from tui.widgets.pane import Pane, Span
from tui.widgets.prompt import BottomLine, Completer

if TYPE_CHECKING:
    from engine.neuron import NeuronId


class Frame(Parts):
    """Base of the screens. A subclass names itself, composes a body and has ``action_…``."""

    # -- moving about

    @property
    def pane(self) -> Pane | None:
        """The pane that moving moves in."""
        return self.focused if isinstance(self.focused, Pane) else None

    def action_move(self, direction: str) -> None:
        """Move within the focused pane, as often as the count says."""
        move = getattr(self.pane, "move", None)
        if move is None or self.pane is None:
            return
        count = self.take_count()
        if direction in ("home", "end") and count is not None:
            to_row = getattr(self.pane, "to_row", None)
            if to_row is not None:
                to_row(count)
                return
        with self.pane.held():
            for _ in range(count or 1):
                before = self.pane.place
                move(direction)
                if before is not None and self.pane.place == before:
                    break

    def action_pane(self, by: int) -> None:
        """Move to a neighbouring pane."""
        self.action_move("right" if by > 0 else "left")

    def action_open(self) -> None:
        """Open what is under the cursor."""

    # -- finding

    def action_find(self) -> None:
        """Ask for a text to be found in the focused pane."""
        self.ask_text("find", "/", before=[self._app.session.sought])

    async def action_find_next(self, by: int) -> None:
        """Go to the next or previous place of the text, so many further as the count says."""
        count = self.take_count() or 1
        if not self._app.session.sought:
            self.say("/ finds a text first.")
        else:
            await self._find_on(by * count)

    async def _find_on(self, by: int, *, stay: bool = False) -> None:
        pane, text = self.pane, self._app.session.sought
        if pane is None or not text:
            return
        places = await self.places_of(text, pane)
        if not places:
            self.say(f"{inert(text)} is not here.")
            return
        number = next_of(places, pane.place, by, stay=stay)
        pane.show_place(places[number])
        self.moved()
        self.say(f"{inert(text)}  {number + 1} of {len(places)}")

    async def places_of(self, text: str, pane: Pane) -> Sequence[Any]:
        """Where a text stands in a pane, in order."""
        return pane.found(text)

    def moved(self) -> None:
        """Called when finding has moved the cursor."""

    # -- questions

    @property
    def asking(self) -> bool:
        """Whether the bottom line waits for an answer."""
        return self._status.asking

    def ask(self, about: str, text: str, answers: Mapping[str, str]) -> None:
        """Ask for one of the given keys; :meth:`answered` takes it."""
        self._remember_focus()
        self._status.ask(about, text, answers)

    def ask_text(
        self,
        about: str,
        text: str,
        typed: str = "",
        *,
        complete: Completer | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Ask for a line of text; :meth:`answered` takes it.

        Args:
            typed: What stands there already.
            complete: Gives what a line may become.
            before: Earlier lines, the last one last.
        """
        self._remember_focus()
        self._status.ask_text(about, text, typed, complete=complete, before=before)

    def _remember_focus(self) -> None:
        if self.focused is not self._status and self.focused is not self._help:
            self._before = self.focused

    def _return_focus(self) -> None:
        self.set_focus(self._before, scroll_visible=False)

    @on(BottomLine.Answered)
    async def take_answer(self, message: BottomLine.Answered) -> None:
        self._status.stop()
        self._return_focus()
        if message.answer == "escape":
            return
        if message.about == "command":
            await self._app.run_command(self, message.answer)
            return
        if message.about == "find":
            self._app.session.sought = message.answer
            await self._find_on(1, stay=True)
            return
        done = self.answered(message.about, message.answer)
        if inspect.isawaitable(done):
            await done

    # -- what can be done everywhere

    def action_command(self) -> None:
        """Ask for a command."""
        complete = self._app.completer(self)
        before = self._app.session.commands
        self.ask_text("command", ":", complete=complete, before=before)

    def action_palette(self) -> None:
        """Open the command palette."""
        self.app.action_command_palette()

    def action_help(self) -> None:
        """Show the keys of this screen."""
        self._remember_focus()
        self._help.open(self.help_actions(), self.keys)

    def help_actions(self) -> Iterable[Action]:
        """What can be done here, as help and palette list it."""
        return [action for action in actions_of(self.NAME) if self.keys.first(action)]

    @on(Help.Closed)
    def _help_closed(self) -> None:
        self._help.close()
        self._return_focus()

    def action_mark_jump(self, letter: str) -> None:
        """Go to a marked neuron."""
        neuron = self._app.session.marks.get(letter)
        if neuron is None:
            self.say(f"There is no mark {inert(letter)}: m sets one in the explorer.")
        else:
            self.open_neuron(neuron)

    def letter_hint(self, action: Action) -> list[Span]:
        """What is shown while an action waits for its letter: the marks there are."""
        spans = super().letter_hint(action)
        palette = self._app.palette
        for letter, neuron in sorted(self._app.session.marks.items()):
            spans += [(f"  {inert(letter)}", palette.strong), (f" {neuron}", palette.dim)]
        return spans

    def action_go(self, place: str) -> None:
        """Go to another screen."""
        self._app.go(place)

    def action_back(self) -> None:
        """Go back to the screen before."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def open_neuron(self, neuron: NeuronId) -> None:
        """Go to a neuron in the explorer."""
        self._app.open_neuron(neuron)

    def action_light(self) -> None:
        """Switch between dark and light."""
        self._app.toggle_light()

    def action_redraw(self) -> None:
        """Send the whole screen again, whatever else has written on the terminal."""
        self._app.redraw()

    async def action_scan(self) -> None:
        """Start the scan or stop it."""
        await self._app.toggle_scan()
        self.draw_top()

    async def action_quit(self) -> None:
        """Quit by way of the explorer, which asks about unsaved explanations."""
        await self._app.action_quit()
