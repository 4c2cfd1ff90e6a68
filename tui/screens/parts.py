"""What every screen is made of: top line, body, bottom line, footer, help; and its keys."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.css.query import NoMatches
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from engine.glyphs import inert
from tui.actions import Action, actions_of
from tui.keys import Keys, Reader, shown
from tui.messages import Problem
from tui.widgets import status
from tui.widgets.help import Help
from tui.widgets.pane import Line, Pane, Span, TooSmall, width_of
from tui.widgets.prompt import BottomLine

if TYPE_CHECKING:
    from engine.engine import Engine
    from tui.app import NeuroglassApp


class Parts(Screen[None]):
    """The lines around a body, and how keys become actions.

    Attributes:
        NAME: Of the screen in the registry of actions.
        HEADING: Of the screen for people, in the top line.
    """

    NAME: ClassVar[str]
    HEADING: ClassVar[str] = ""

    #: Textual repaints the whole screen when the focus moves; each pane draws its own.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self._reader = Reader(Keys(()))
        self._remark = ("", False)
        self._below = False
        self._before: Widget | None = None

    # -- what a subclass says

    def body(self) -> ComposeResult:
        """The widgets between top line and bottom line."""
        raise NotImplementedError

    def ready(self) -> None:
        """Called once all widgets are there."""

    def head(self) -> tuple[list[Span], list[Span]]:
        """Left and right part of the top line."""
        app = self._app
        index = app.engine.catalogue if app.engine is not None else None
        return status.title(index, app.palette, self.HEADING), app.scan_text or []

    def foot(self) -> list[tuple[str, str]] | None:
        """Keys and what they do, while a text is typed or a dialog is open; else None."""
        return None

    def status_left(self, room: int) -> list[Span]:
        """What the bottom line says at rest, in so many cells."""
        return []

    def why_not(self, action: Action) -> str:
        """Why an action can't be done now; empty when it can."""
        if not action.needs:
            return ""
        engine = self.engine
        if engine is None:
            return "Not yet: index and store are being opened."
        if action.needs == "model" and engine.dataset is not None:
            return "Published neurons have no model behind them."
        if action.needs != "engine" and engine.catalogue is None:
            return "There is no neuron yet: S starts the scan."
        return ""

    def takes(self, event: events.Key) -> bool:
        """Take a key before it is looked up, as typing does. Returns whether it was taken."""
        return False

    def answered(self, about: str, answer: str) -> object:
        """Take the answer to a question; escape is not told. May be a coroutine."""
        return None

    def medium(self, width: int, height: int) -> bool:
        """Whether it is drawn in the layout of 80 columns."""
        return width < 106

    def arrived(self) -> None:
        """Called when the screen is shown again, after another one."""

    def index_grew(self) -> None:
        """Called when a scan has published a newer state of the index."""

    # -- the parts

    def compose(self) -> ComposeResult:
        yield Line(id="top")
        with Container(id="body"):
            yield from self.body()
        yield BottomLine(id="status")
        yield Line(id="footer")
        yield TooSmall(id="small")
        yield Help(id="help")

    def on_mount(self) -> None:
        self._status = self.query_one("#status", BottomLine)
        self._help = self.query_one(Help)
        self._reader = Reader(self._app.keymap.keys(self.NAME))
        self.ready()
        self.draw_top()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout that fits."""
        width, height = event.size
        tiny = width < 40 or height < 12
        narrow = not tiny and (width < 70 or height < 18)
        medium = not tiny and not narrow and self.medium(width, height)
        for name, wanted in (("tiny", tiny), ("narrow", narrow), ("medium", medium)):
            self.set_class(wanted, name)
        self.laid_out()
        self.draw_status()
        self.draw_footer()
        self.query_one(TooSmall).redraw()

    def laid_out(self) -> None:
        """Called when another layout may have been chosen."""

    def on_screen_resume(self) -> None:
        if self._remark is not None and self.is_mounted:
            self.draw_top()
            self.arrived()

    @property
    def _app(self) -> NeuroglassApp:
        return cast("NeuroglassApp", self.app)

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is open."""
        return self._app.engine

    @property
    def keys(self) -> Keys:
        """What the keys of this screen do."""
        return self._reader.keys

    # -- drawing

    def draw_top(self) -> None:
        """Repaint the top line."""
        if self.is_mounted:
            with suppress(NoMatches):  # what was read arrives as the screen is left
                self.query_one("#top", Line).show(*self.head())

    def draw_footer(self) -> None:
        """Repaint the line of keys."""
        if not self.is_mounted:
            return
        palette, width, special = self._app.palette, self.size.width, self.foot()
        if special is not None:
            spans = status.key_line(special, palette, width)
        else:
            spans = status.footer(self._footer(), palette, width)
        with suppress(NoMatches):
            self.query_one("#footer", Line).show(spans)

    def _footer(self) -> list[tuple[str, str, bool]]:
        """Key and title of what can be done, and whether it must be shown."""
        found = []
        for action in actions_of(self.NAME):
            key = self.keys.first(action)
            wanted = action.footer or (action.id == "scan" and not self._app.scanned)
            # From a screen below the explorer one mostly goes back; ? lists the other ways.
            wanted = wanted and not (action.id.startswith("go.") and len(self.app.screen_stack) > 1)
            wanted = wanted and action.run != ("go", self.NAME)
            if wanted and key and not key.startswith("^") and not self.why_not(action):
                last = action.id in ("back", "help", "quit")
                found.append((key, self.title_of(action), last))
        return found

    def title_of(self, action: Action) -> str:
        """What the footer calls an action now."""
        return action.title

    def say(self, text: str, *, error: bool = False) -> None:
        """Show a remark in the bottom line until something else is done."""
        self._remark = (text, error)
        self.draw_status()

    def draw_status(self) -> None:
        """Repaint the bottom line."""
        palette = self._app.palette
        text, error = self._remark
        left: list[Span] = []
        if not (text and error):
            left = self.status_left(self.size.width - (len(text) + 2 if text else 0))
        right: list[Span] = []
        if text:
            right = [(f" {text} ", palette.error if error else palette.accent)]
        self._status.show(left, right)

    def repaint(self) -> None:
        """Draw everything again after a change of colours."""
        self.draw_footer()
        self.draw_top()
        self.draw_status()
        for pane in self.query(Pane):
            pane.redraw(everything=True)

    @on(Problem)
    def _problem_here(self, message: Problem) -> None:
        self.say(inert(f"{message.message} {message.remedy}".strip()), error=True)

    # -- keys

    async def take_answer(self, message: BottomLine.Answered) -> None:
        """Take the answer to what the bottom line asked."""
        raise NotImplementedError

    async def on_key(self, event: events.Key) -> None:
        """Look the key up among the actions of this screen."""
        event.stop()
        event.prevent_default()
        if self._status.asking:
            # It was typed before the focus had moved: keys come in bursts over a slow line.
            answer = self._status.press(event)
            if answer is not None:
                await self.take_answer(answer)
            return
        if self._passed_on(event) or self.takes(event):
            return
        waited = self._reader.pending
        found = self._reader.press(event.key, event.character)
        if found is not None:
            if waited:
                self._hint(())
            await self.perform(found[0], found[1])
            return
        self._reader.take_count()
        if waited or self._reader.pending:
            self._hint(self._pending())

    def _passed_on(self, event: events.Key) -> bool:
        """Give a key that came on its way here too early to whom it now belongs.

        Keys that come in a burst are sent to what has the focus while the first of them
        is still to open a help or another screen.
        """
        screen = self.app.screen
        if screen is not self and isinstance(screen, Parts):
            screen.post_message(events.Key(event.key, event.character))
        elif self._help.has_class("open"):
            self._help.on_key(event)
        else:
            return False
        return True

    def _hint(self, rows: Sequence[list[Span]]) -> None:
        """Show what may follow in place of the status; a second row takes the footer's."""
        self._status.hint(rows[0] if rows else None)
        if len(rows) > 1:
            self.query_one("#footer", Line).show(rows[1])
        elif self._below:
            self.draw_footer()
        self._below = len(rows) > 1

    def _pending(self) -> list[list[Span]]:
        """What was typed so far, and what can follow; two rows where one is too short."""
        reader, palette = self._reader, self._app.palette
        if not reader.pending:
            return []
        if reader.waiting is not None:
            return [self.letter_hint(reader.waiting)]
        if not reader.pressed:
            return [
                [(f" {reader.digits} ", palette.accent), (" times; a key follows", palette.dim)]
            ]
        typed = reader.digits + shown(" ".join(reader.pressed))
        here = ("go", self.NAME)
        following = reader.keys.following(reader.pressed)
        ways = [(shown(key), action.title) for key, action in following if action.run != here]
        sizes = [len(key) + len(title) + 2 for key, title in ways]
        room = self.size.width - len(typed) - 2
        wide = sum(sizes) + len(ways) <= room
        rows: list[list[Span]] = [[(f" {typed} ", palette.accent)]]
        for (key, title), size in zip(ways, sizes, strict=True):
            if width_of(rows[-1]) + size > self.size.width and len(rows) == 1:
                rows.append([(" " * (len(typed) + 2), palette.text)])
            rows[-1] += [(f" {key}", palette.strong), (f" {title}{' ' * wide}", palette.dim)]
        return rows

    def letter_hint(self, action: Action) -> list[Span]:
        """What is shown while an action waits for its letter."""
        palette = self._app.palette
        return [(f" {self.keys.first(action)} ", palette.accent), (action.takes, palette.dim)]

    def take_count(self) -> int | None:
        """The count typed before the action that runs now; None without one."""
        return self._reader.take_count()

    async def perform(self, action: Action, letter: str = "") -> None:
        """Do an action, or say why not."""
        reason = self.why_not(action)
        if reason:
            self._reader.take_count()
            self.say(reason)
            return
        arguments = (*action.arguments, letter) if letter else action.arguments
        done = getattr(self, action.method)(*arguments)
        if inspect.isawaitable(done):
            await done
        self._reader.take_count()
