"""The explorer: looking is inherited, here is what changes something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.messages import EngineOpened, ExplainMoved, IndexChanged, Problem, ScanMoved
from tui.screens.taking import Taker
from tui.session import Result, Session
from tui.widgets import status

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.choices import Choices
    from engine.engine import Engine


class Explorer(Taker):
    """Scanning, explaining, saving, annotating, leaving."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        #: What the user has said may be spent on, until the choices change.
        self._agreed: Choices | None = None
        self._asked: Choices | None = None
        self._named = ""

    # -- engine, index and scan

    @on(EngineOpened)
    def _engine_opened(self, message: EngineOpened) -> None:
        if message.engine.catalogue is not None:
            self._take(message.engine.catalogue)
        else:
            self._heatmap.show((), 0, message=self._app.waiting_text())
            self._app.keeper.tell_problems()
        self._app.draw_top()
        self.draw_footer()

    @on(IndexChanged)
    def _index_changed(self, message: IndexChanged) -> None:
        self._take(message.index)
        self._app.draw_top()
        self._app.frame.index_grew()

    def _take(self, index: Catalogue) -> None:
        engine = self.engine
        assert engine is not None
        self._index = index
        here = self.session.neuron
        if here.layer >= index.n_layers or here.index not in index.present(here.layer):
            layers = (n for n in range(index.n_layers) if index.present(n))
            layer = next(layers, 0)
            self.session.neuron = NeuronId(layer, next(iter(index.present(layer)), 0))
        self._feed.want(self.session.neuron)
        self.session.visited.visit(self.session.neuron)
        self._feed.open(engine, index)
        self._feed.again()

    def open_index(self, index: Catalogue) -> None:
        """Show another index; what was explained in the one before is left behind."""
        self.session.results.clear()
        self._feed.preferred.clear()
        self._take(index)

    def prefer(self, neuron: NeuronId, explanation: int) -> None:
        """Show this saved explanation of a neuron from now on, not its best one."""
        self._feed.preferred[neuron] = explanation
        self._feed.again()

    @on(ScanMoved)
    def _scan_moved(self, message: ScanMoved) -> None:
        from engine import events

        palette = self._app.palette
        match message.event:
            case events.ScanProgress() as progress:
                self._app.scan_text = status.scanning(progress, palette)
            case events.ScanStage(text=text):
                self._app.scan_text = [(f"{inert(text)} ", palette.dim)]
            case events.ScanPublished():
                pass
            case events.ScanFailed(message=text, remedy=remedy):
                self._app.scan_text = None
                self.post_message(Problem(text, remedy))
            case _:
                self._app.scan_text = None
        if self._index is None and not isinstance(message.event, events.ScanFailed):
            self._heatmap.show((), 0, message=self._app.waiting_text())
        self._app.draw_top()

    @on(Problem)
    def _problem(self, message: Problem) -> None:
        message.prevent_default()
        text = f"{message.message} {message.remedy}".strip()
        if message.fatal or self._index is None:
            lines = [line for line in (message.message, message.remedy) if line]
            self._heatmap.show((), 0, message=[inert(line) for line in lines], failed=True)
        else:
            self._app.say(inert(text), error=True)

    # -- explaining and saving

    async def action_explain(self) -> None:
        """Explain the current neuron; what costs something is asked about once."""
        engine, view = self.engine, self.neuron_view
        if engine is None or view is None or self._busy():
            return
        choices = engine.choices
        if choices.models_needed() and choices != self._agreed:
            self.say("Reckoning what it needs …")
            self.run_worker(self._ask_first(engine, choices), name="estimate", exclusive=True)
            return
        self._explain()

    def _busy(self) -> bool:
        running = self.session.running
        if running is not None:
            self.say(f"{running.neuron} is being explained; esc cancels.")
        return running is not None

    async def _ask_first(self, engine: Engine, choices: Choices) -> None:
        try:
            estimate = await engine.estimate(self.session.neuron, choices)
        except NeuroglassError as error:
            self.post_message(Problem(error.message, error.remedy))
            return
        money = "" if estimate.money is None else f", {estimate.money:.4f} in money"
        self.say("")
        self._asked = choices
        self.ask(
            "explain",
            f"Asks {estimate.requests} times, about {estimate.tokens:,} tokens{money}.",
            {"enter": "go"},
        )

    def _explain(self, text: str | None = None) -> None:
        engine, view = self.engine, self.neuron_view
        if engine is None or view is None:
            return
        neuron = self.session.neuron
        before = self.session.results.get(neuron)
        if before is not None and before.unsaved:
            self.say("Replacing the unsaved explanation.")
        stage = "explaining" if text is None else "scoring"
        self.session.results[neuron] = Result(neuron, stage=stage)
        self._app.jobs.start_explain(engine, neuron, text)
        if self.has_class("narrow"):
            self._focus("panel")
        self._draw_neuron(keep_cursor=True)

    def action_write(self) -> None:
        """Ask for an explanation of the user's own."""
        if self.neuron_view is not None and not self._busy():
            # A published sentence is what one scores again; it can be changed first.
            known = next((one.text for one in self.neuron_view.saved if one.id < 0), "")
            self.ask_text("write", f"What {self.session.neuron} fires on:", known)

    def action_choices(self) -> None:
        """Choose how to explain and score."""
        if self.engine is not None:
            from tui.screens.choices import ChoicesScreen

            self.app.push_screen(ChoicesScreen(self.engine, self.session.neuron))

    def action_compare(self) -> None:
        """Show the neuron's explanations side by side."""
        view, engine = self.neuron_view, self.engine
        if view is None or engine is None:
            return
        from tui.screens.compare import CompareScreen, entries

        neuron = view.record.neuron
        result = self.session.results.get(neuron)

        def chosen(number: int) -> None:
            result = self.session.results.get(neuron)
            if result is not None and result.saved is not None:
                del self.session.results[neuron]
            self._feed.preferred[neuron] = number

        title = f"Explanations of {neuron}"
        self.app.push_screen(CompareScreen(engine, title, entries(view, result), chosen))

    @on(ExplainMoved)
    def _explain_moved(self, message: ExplainMoved) -> None:
        from engine import events

        result = self.session.results.get(message.neuron)
        if result is None:
            return
        match message.event:
            case events.CandidateStarted(number=number, total=total, revision=revision):
                result.words.clear()
                what = "revision" if revision else "candidate"
                result.candidate = f"{what} {number}/{total}"
            case events.CandidateScored(explanation=explanation):
                scored = (explanation.text, message.event.ev_correlation, message.event.kept)
                result.candidates.append(scored)
            case events.CandidateFailed(message=text) | events.JudgeFailed(message=text):
                result.remarks.append(text)
            case events.Judging(scorer=scorer, done=done, total=total):
                result.stage = f"{scorer} {done}/{total}"
            case events.Judged(judgement=judgement):
                result.judgements.append(judgement)
            case events.Spent():
                result.spent = message.event
            case events.Preparing(text=text, share=share):
                result.preparing = f"{text}: {share:.0%}"
            case events.Word(text=text):
                result.words.append(text)
            case events.Explained(explanation=explanation):
                result.explanation, result.stage = explanation, "simulating"
                result.candidate = ""
            case events.RecordSimulated(number=number, total=total, record=record):
                result.records.append(record)
                result.stage = f"simulating {number}/{total}" if number < total else "scoring"
            case events.Scored(explanation=explanation, card=card):
                result.explanation, result.card = explanation, card
                result.records, result.stage = list(card.records), ""
            case events.PipelineFailed(message=text, remedy=remedy):
                result.failure, result.stage = f"{text} {remedy}".strip(), ""
            case None:
                result.stage = ""
                if result.explanation is None:
                    del self.session.results[message.neuron]
                else:
                    result.failure = "Cancelled before it was scored; e goes on from there."
        ended = not result.running
        if ended:
            self._draw_list()
        if self.neuron_view is None or self.neuron_view.record.neuron != message.neuron:
            if ended and result.card is not None:
                self._app.say(f"{message.neuron} is explained and scored.")
            return
        if ended:
            self._draw_neuron(keep_cursor=True)
        else:
            self._panel.show(self.neuron_view, result)

    async def action_cancel(self) -> None:
        """Cancel what runs; otherwise go back to the list."""
        if self._app.jobs.explaining:
            await self._app.jobs.cancel_explain()
            self.say("Cancelled.")
        elif self._pane != "list":
            self._focus("list")
        else:
            self.say("")

    async def action_save(self) -> None:
        """Save the explanation of the current neuron."""
        result = self.session.results.get(self.session.neuron)
        if result is None or result.explanation is None:
            self.say("Nothing to save: e explains.")
        elif result.running:
            self.say("Not yet: the score is still to come.")
        elif result.saved is not None:
            self.say("Already saved.")
        elif await self._save(result):
            self.say("Saved.")

    async def _save(self, result: Result) -> bool:
        engine = self.engine
        assert engine is not None
        assert result.explanation is not None
        try:
            result.saved = await engine.save(result.explanation, result.card, result.judgements)
        except NeuroglassError as error:
            self.post_message(Problem(error.message, error.remedy))
            return False
        self._feed.again()
        return True

    # -- the program

    async def answered(self, about: str, answer: str) -> None:
        if about == "explain":
            self._agreed = self._asked
            self._explain()
        elif about == "tags":
            await self._set_tags(answer)
        elif about == "write":
            if answer.strip():
                self._explain(answer)
        elif about == "model":
            await self._app.scan_model(self._named)
        elif about == "export":
            await self.export(answer.strip())
        elif about == "report":
            self.report(answer.strip())
        elif about == "quit":
            if answer == "s":
                for result in self.session.unsaved():
                    if not await self._save(result):
                        return
            self._app.leave()

    def ask_model(self, name: str) -> None:
        """Ask whether another model is to be scanned."""
        self._named = name
        what = f"Scan {inert(name)} over the same text? It takes the place of this index."
        self.ask("model", what, {"enter": "scan"})

    async def action_quit(self) -> None:
        """Quit; unsaved explanations are asked about once."""
        unsaved = self.session.unsaved()
        if not unsaved or self.asking or not self._app.settings.confirm_quit:
            self._app.leave()
            return
        one = f"Explanation of {unsaved[0].neuron}"
        what = one if len(unsaved) == 1 else f"{len(unsaved)} explanations"
        answers = {"s": "save and quit", "q": "quit without"}
        self.ask("quit", f"{what} not saved.", answers)
