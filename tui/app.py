"""The app: opens the engine behind the first paint, owns the jobs, leaves cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.command import CommandPalette
from textual.widgets import Input

from engine.errors import NeuroglassError
from engine.glyphs import inert
from tui.command_line import completer, run
from tui.commands import ActionCommands
from tui.jobs import Jobs
from tui.keymap import Keymap
from tui.messages import EngineOpened, Problem
from tui.places import PLACES
from tui.ramps import RAMPS
from tui.remembering import Keeper
from tui.screens.explorer import Explorer
from tui.screens.frame import Frame
from tui.session import Session, Sort
from tui.settings import Settings
from tui.theme import DARK, LIGHT, PLAIN, SHORT, THEMES, Palette, palette

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.screen import Screen

    from engine.engine import Engine
    from engine.neuron import NeuronId
    from engine.scan_request import ScanRequest
    from tui.widgets.pane import Span
    from tui.widgets.prompt import Completer

EngineFactory = Callable[[], Awaitable["Engine"]]


class NeuroglassApp(App[object]):
    """Screens over one engine. Use :func:`make_app`.

    Attributes:
        session: Where the user is.
        keymap: What the keys of each screen do.
        scan_text: What the top line says of the scan; None while none runs.
    """

    TITLE = "neuroglass"
    # Whole, so that an app class elsewhere finds it too.
    CSS_PATH = Path(__file__).with_name("app.tcss")
    COMMANDS: ClassVar = {ActionCommands}
    ENABLE_COMMAND_PALETTE = True
    ALLOW_SELECT = False

    def __init__(
        self,
        engine_factory: EngineFactory,
        *,
        model: str | None = None,
        sources: tuple[str, ...] | None = None,
        scan: bool = True,
        theme: str | None = None,
        settings: Settings | None = None,
        problems: Sequence[str] = (),
        restore: bool = False,
    ) -> None:
        colourless = "NO_COLOR" in os.environ
        super().__init__(driver_class=_driver(), ansi_color=True if colourless else None)
        self.animation_level = "none"
        self.engine: Engine | None = None
        self.jobs = Jobs(self._tell)
        self._factory = engine_factory
        self._model, self._sources, self._scan = model, sources, scan
        self.scanned_model = ""
        self.settings = settings or Settings()
        #: The colours of activations, one of :data:`tui.ramps.RAMPS`.
        self.ramp = self.settings.colours
        self._restore = restore
        self.keeper = Keeper(self, problems)
        order = Sort[self.settings.sort.upper()]
        self.session = Session(group=self.settings.group, sort=order, look=self.settings.look)
        self.keymap = Keymap(self.settings.keymap)
        self.scan_text: list[Span] | None = None
        self._opening = False
        self._leaving = False
        self._hung_up = False
        for one in THEMES:
            self.register_theme(one)
        few = self.console.color_system in (None, "standard")
        self.keeper.theme_named = theme is not None
        chosen = theme or SHORT.get(self.settings.theme, self.settings.theme)
        if chosen not in self.available_themes:
            if chosen != "auto":
                self.keeper.problems.append(f"theme: there is no theme {chosen!r}.")
            chosen = DARK
        self.theme = PLAIN if (colourless or few) and theme is None else chosen
        self.keeper.theme = self.theme
        self.explorer = Explorer(self.session)

    @property
    def palette(self) -> Palette:
        """The styles that go with the current theme."""
        return self._palette

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """What our own themes define and Textual's don't."""
        return {"rule": "#6c6c6c"}

    def get_default_screen(self) -> Explorer:
        return self.explorer

    def watch_theme(self, name: str) -> None:
        """Take the theme's palette and repaint."""
        self._palette = palette(self.get_theme(name) or THEMES[0], self.ramp)
        if self.is_running:
            for screen in self.screen_stack:
                if isinstance(screen, Frame):
                    self.call_after_refresh(screen.repaint)

    def take_theme(self, name: str) -> bool:
        """Switch to a theme by its short or full name; False if there is none of it."""
        full = SHORT.get(name, name)
        if full not in self.available_themes:
            return False
        self.theme = full
        return True

    def next_ramp(self) -> None:
        """Paint activations in the next set of colours."""
        names = list(RAMPS)
        self.take_ramp(names[(names.index(self.ramp) + 1) % len(names)])

    def take_ramp(self, name: str) -> None:
        """Paint activations in these colours."""
        self.ramp = name
        self.watch_theme(self.theme)

    def toggle_light(self) -> None:
        """Switch between the dark and the light theme."""
        self.theme = DARK if self.theme == LIGHT else LIGHT

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Textual's way to the terminal, by way of our driver where there is one."""
        from textual._compositor import CompositorUpdate

        show = getattr(self._driver, "show", None)
        if show is not None and isinstance(renderable, CompositorUpdate):
            if not self._running or self._closed or self._batch_count:
                return
            size = screen.outer_size
            cursor = size.clamp_offset(self.cursor_position)
            if show(renderable, self.console._color_system, size, cursor):
                self.post_display_hook()
                return
        rest: Any = renderable
        super()._display(screen, rest)

    async def copy(self, text: str) -> str:
        """Send a text to the terminal's clipboard; what can be said about it."""
        from tui import clipboard

        driver = self._driver
        return await clipboard.send(text, driver.write if driver is not None else lambda _: None)

    def redraw(self) -> None:
        """Send the whole screen again."""
        again = getattr(self._driver, "redraw", None)
        if again is not None:
            again()

    def _tell(self, message: object) -> None:
        if not self._leaving:
            self.explorer.post_message(message)  # type: ignore[arg-type]

    # -- screens

    @property
    def scanned(self) -> bool:
        """Whether there are neurons to look at."""
        return self.engine is not None and self.engine.catalogue is not None

    @property
    def frame(self) -> Frame:
        """The screen that is looked at, or the one below a dialog."""
        return next(one for one in reversed(self.screen_stack) if isinstance(one, Frame))

    def say(self, text: str, *, error: bool = False) -> None:
        """Show a remark on the screen that is looked at."""
        self.frame.say(text, error=error)

    def draw_top(self) -> None:
        """Repaint the top line of the screen that is looked at."""
        self.frame.draw_top()

    def go(self, place: str) -> None:
        """Go to a screen: back to it if it is open, else to a new one."""
        for number, screen in enumerate(self.screen_stack):
            if isinstance(screen, Frame) and place == screen.NAME:
                for _ in self.screen_stack[number + 1 :]:
                    self.pop_screen()
                return
        self.push_screen(PLACES[place](self))

    def open_neuron(self, neuron: NeuronId) -> None:
        """Show a neuron in the explorer."""
        self.explorer.choose(neuron)
        self.go(self.explorer.NAME)

    def completer(self, frame: Frame) -> Completer:
        """What a line of the command line may become on a screen."""
        return completer(self, frame)

    async def run_command(self, frame: Frame, text: str) -> None:
        """Do what was typed on the command line."""
        await run(self, frame, text)

    # -- opening

    def on_mount(self) -> None:
        if not self.is_headless:
            self._listen_for_signals()
        # Three layouts happen on the way to the first whole frame; only that one is sent.
        self.delay_update(0.03)
        # The first paint comes first: the engine brings numpy and SQLite along.
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        self._opening = True
        self.run_worker(self._open_engine(), name="open", exit_on_error=True)

    async def _open_engine(self) -> None:
        try:
            self.engine = await self._factory()
        except NeuroglassError as error:
            self._tell(Problem(error.message, error.remedy, fatal=True))
            return
        finally:
            self._opening = False
        if self._restore:
            await self.keeper.come_back(self.engine)
        self._tell(EngineOpened(self.engine))
        if self._scan and self._request() is not None:
            await self.toggle_scan()

    def _request(self) -> ScanRequest | None:
        assert self.engine is not None
        request = self.engine.scan_to_do(self._model, self._sources)
        return None if request is None else replace(request, background=True)

    async def scan_model(self, name: str) -> None:
        """Scan another model over the same text, in place of what runs."""
        if self.engine is None:
            return
        if self.jobs.scanning:
            await self.jobs.stop_scan()
        self._model = name
        await self.toggle_scan()

    async def toggle_scan(self) -> None:
        """Start the scan, or stop it and keep what is done."""
        if self.engine is None:
            if not self._opening:
                self._open()  # the user may have done what the message asked for
            return
        if self.jobs.scanning:
            await self.jobs.stop_scan()
            return
        if self.engine.dataset is not None:
            self.say("These neurons are published: there is nothing to scan.")
            return
        request = self._request()
        if request is None:
            self.say("The index is complete.")
            return
        self.scanned_model = request.model
        self.jobs.start_scan(self.engine, request)

    def waiting_text(self) -> tuple[str, ...]:
        """What an empty screen says, in three lines."""
        if not self.jobs.scanning:
            return ("Nothing has been scanned yet.", "S starts the scan.", "? shows all keys.")
        return (
            f"Reading text through the model {inert(self.scanned_model)}.",
            "The first neurons appear here while the scan goes on; it can be left at any time,",
            "what is done is kept. ? shows all keys.",
        )

    # -- leaving

    @property
    def leaving(self) -> bool:
        """Whether the app is on its way out, or gone."""
        return self._leaving

    def leave(self) -> None:
        """Stop the jobs, close the store, exit."""
        if not self._leaving:
            if self.jobs.scanning:
                self.say("Stopping the scan; what is done is kept.")
            self._leaving = True
            self.run_worker(self._leave(), name="leave", exit_on_error=True)

    async def _leave(self) -> None:
        await self.jobs.close()
        if self.engine is not None:
            await self.keeper.keep()
            await self.engine.close()
        if self._hung_up:
            # Everything is on disk, and there is no terminal left to restore.
            os._exit(0)
        self.exit()

    async def action_quit(self) -> None:
        """Quit by way of the explorer, which asks about unsaved explanations."""
        self.go(self.explorer.NAME)
        await self.explorer.action_quit()

    def _listen_for_signals(self) -> None:
        """A closed terminal or a kill ends the app as quitting does, without a question."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.leave)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        self._hung_up = True
        hang_up = getattr(self._driver, "hang_up", None)
        if hang_up is not None:
            hang_up()
        self.leave()

    def action_command_palette(self) -> None:
        """The palette with a cursor that does not blink: an idle app sends nothing."""
        if not CommandPalette.is_open(self):
            self.push_screen(CommandPalette(id="--command-palette"))
            self.call_after_refresh(self._calm_palette)

    def _calm_palette(self) -> None:
        for box in self.screen.query(Input):
            box.cursor_blink = False


def _driver() -> type[Driver] | None:
    """The driver for a real terminal; a headless app brings its own."""
    if sys.platform == "win32" or not sys.__stdin__ or not sys.__stdin__.isatty():
        return None
    from tui.terminal import LeanDriver

    return LeanDriver


def make_app(
    engine_factory: EngineFactory,
    *,
    model: str | None = None,
    sources: tuple[str, ...] | None = None,
    scan: bool = True,
    theme: str | None = None,
    settings: Settings | None = None,
    problems: Sequence[str] = (),
    restore: bool = False,
) -> NeuroglassApp:
    """Build the app.

    Args:
        engine_factory: Opens the engine; called once, after the first paint.
        model, sources: What a scan reads; None: what the index was made of, else the demo.
        scan: Start a scan by itself when none was finished.
        theme: A theme's name; None chooses by the settings and what the terminal can show.
        settings: What the config file says.
        problems: What is wrong in it, told in the bottom line.
        restore: Open where the app was left, and keep where it is left.
    """
    return NeuroglassApp(
        engine_factory,
        model=model,
        sources=sources,
        scan=scan,
        theme=theme,
        settings=settings,
        problems=problems,
        restore=restore,
    )
