"""Keys: what each screen offers, in help, palette and footer; counts; going about."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_app import running, screen_text, until
from textual import events
from textual.pilot import Pilot

from engine.neuron import NeuronId
from tui.actions import ACTIONS, Action, actions_of
from tui.app import NeuroglassApp
from tui.commands import ActionCommands
from tui.find import in_tokens
from tui.history import History
from tui.keymap import Keymap, screens
from tui.keys import Keys, Reader, shown
from tui.screens.frame import Frame

#: How each screen is come to from the explorer.
WAY = {
    "explorer": (),
    "library": ("g", "l"),
    "map": ("g", "m"),
    "triage": ("g", "t"),
    "lab": ("g", "p", "x", "tab"),
    "effects": ("g", "f"),
    "senses": ("g", "s"),
    "compare": ("v",),
    "choices": ("c",),
}


async def go(app: NeuroglassApp, pilot: Pilot[object], screen: str) -> Frame:
    await pilot.press(*WAY[screen])
    await until(pilot, lambda: screen == app.frame.NAME)
    return app.frame


# ------------------------------------------------------------------ the registry


def test_every_action_has_a_plain_key_on_every_screen_it_is_for() -> None:
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)
    for screen in screens():
        keys = Keymap().keys(screen)
        assert keys.conflicts == []
        for action in actions_of(screen):
            assert len(action.description) <= 44, action.id
            alternatives = keys.of(action).split()
            if screen in action.screens or action.id in ("help", "command", "palette"):
                assert any("^" not in key for key in alternatives), (screen, action.id)


@pytest.mark.parametrize("screen", screens())
async def test_registry_help_palette_and_methods_agree(home: Path, screen: str) -> None:
    async with running(home, (120, 60)) as (app, pilot):
        frame = await go(app, pilot, screen)
        wanted = [action for action in actions_of(screen) if frame.keys.first(action)]
        for action in wanted:
            assert callable(getattr(frame, action.method, None)), (screen, action.id)
        await pilot.press("question_mark")
        await until(pilot, lambda: "any key closes" in screen_text(app))
        text = screen_text(app)
        lines = text.splitlines()
        for action in wanted:
            [line, *_] = [one for one in lines if f" {action.description}  " in one]
            place = line.index(f" {action.description}  ") + 1
            assert place in (16, 74), "descriptions stand below each other"
            keys = line[place - 14 : place].split()
            assert keys[0] == frame.keys.first(action), action.id
            assert keys[-1] == "…" or keys == frame.keys.of(action).split(), action.id
        others = {a.description for a in ACTIONS} - {a.description for a in wanted}
        for description in others - {"Previous group"}:
            assert f" {description}\n" not in text.replace("  ", "\n"), description
        await pilot.press("escape")
        await until(pilot, lambda: "any key closes" not in screen_text(app))
        provider = ActionCommands(frame)
        offered = {name for name, _, _ in provider._commands()}
        assert {action.description for action in wanted if not action.takes} <= offered


# ------------------------------------------------------------------ reading keys


def typed(reader: Reader, *keys: str) -> list[tuple[str, str, int | None]]:
    """Ids of the actions that keys complete, what each takes, and its count."""
    done = []
    for key in keys:
        found = reader.press(key, key if len(key) == 1 else None)
        if found is not None:
            done.append((found[0].id, found[1], reader.take_count()))
    return done


def action(identity: str, *keys: str, takes: str = "") -> Action:
    return Action(identity, keys, identity, identity, "Test", takes=takes)


def test_counts_and_keys_one_after_another() -> None:
    reader = Reader(
        Keys(
            [action("down", "j"), action("top", "g g"), action("triage", "g t")],
            [action("mark", "m", takes="letter"), action("back", "escape", "j")],
        )
    )
    assert typed(reader, "5", "j") == [("down", "", 5)]
    assert typed(reader, "1", "0", "j", "j") == [("down", "", 10), ("down", "", None)]
    assert typed(reader, "0", "j") == [("down", "", None)]
    assert typed(reader, "3", "g", "g") == [("top", "", 3)]
    assert typed(reader, "g", "x", "j") == [("down", "", None)]
    assert typed(reader, "g", "escape", "escape") == [("back", "", None)]
    assert typed(reader, "7", "escape", "j") == [("down", "", None)]
    assert typed(reader, "m", "a", "m", "escape", "g", "t") == [
        ("mark", "a", None),
        ("triage", "", None),
    ]
    assert typed(reader, *"999999999", "j") == [("down", "", 99_999)]


def test_keys_that_clash_are_told() -> None:
    keys = Keys([action("one", "a"), action("two", "a b"), action("three", "x")], [])
    assert keys.conflicts == [("ab", "one", "two")]
    keys = Keys([action("one", "a"), action("two", "b")], [], {"two": ("a",)})
    assert keys.conflicts == [("a", "two", "one")]
    # A screen's own action takes the key of one that is everywhere.
    keys = Keys([action("own", "q")], [action("quit", "q", "ctrl+q")])
    assert keys.conflicts == []
    assert keys.of(action("quit")) == "^q"


# ------------------------------------------------------------------ on the screen


async def test_counts_move_rows_excerpts_and_groups(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("1", "2", "j")
        await until(pilot, lambda: "Neuron 0:12" in screen_text(app))
        await pilot.press("5", "0", "0", "G")
        await until(pilot, lambda: "Neuron 0:500" in screen_text(app))
        await pilot.press("3", "right_square_bracket", "2", "K")
        await until(pilot, lambda: "Neuron 3:498" in screen_text(app))
        await pilot.press("g", "g")
        await until(pilot, lambda: "Neuron 3:0" in screen_text(app))
        await pilot.press("7", "full_stop")
        assert app.session.group == "bottom"
        await pilot.press("9", "full_stop")
        assert "There are 8 groups." in screen_text(app)
        await pilot.press("enter", "3", "j")
        assert app.explorer._heatmap.block == 3
        await pilot.press("2", "G")
        assert app.explorer._heatmap.block == 1


async def test_what_may_follow_is_shown(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("g")
        await until(pilot, lambda: "t triage" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "t triage" not in screen_text(app))
        assert app.frame is app.explorer


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
@pytest.mark.parametrize("screen", ["explorer", "map", "choices"])
async def test_all_that_may_follow_has_room(home: Path, screen: str, size: tuple[int, int]) -> None:
    async with running(home, size) as (app, pilot):
        frame = await go(app, pilot, screen)
        footer = screen_text(app).splitlines()[-1]
        await pilot.press("g")
        await until(pilot, lambda: "e explorer" in screen_text(app) or screen == "explorer")
        await until(pilot, lambda: "s senses" in screen_text(app))
        ways = frame.keys.following(("g",))
        for key, action in ways:
            if action.run != ("go", screen):
                assert f" {shown(key)} {action.title}" in screen_text(app), action.id
        assert len(ways) == 9
        await pilot.press("escape")
        await until(pilot, lambda: screen_text(app).splitlines()[-1] == footer)


async def test_screens_are_gone_to_from_anywhere_and_left_one_by_one(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("g", "t")
        await until(pilot, lambda: app.frame.NAME == "triage")
        await pilot.press("g", "f")
        await until(pilot, lambda: app.frame.NAME == "effects")
        await pilot.press("i")
        await until(pilot, lambda: app.frame.NAME == "lab")
        await pilot.press("escape")
        await until(pilot, lambda: app.frame.NAME == "effects")
        await pilot.press("T")
        await until(pilot, lambda: app.frame.NAME == "triage")
        assert len(app.screen_stack) == 2
        await until(pilot, lambda: "No run yet." in screen_text(app))
        await pilot.press("g", "e")
        await until(pilot, lambda: app.frame is app.explorer)


async def test_the_command_line_goes_to_neurons_and_does_actions(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("colon", *"5:131", "enter")
        await until(pilot, lambda: "Neuron 5:131" in screen_text(app))
        await pilot.press("colon", *"go.effects", "enter")
        await until(pilot, lambda: app.frame.NAME == "effects")
        await pilot.press("colon", *"2:9", "enter")
        await until(pilot, lambda: "Neuron 2:9" in screen_text(app))
        assert app.session.neuron == NeuronId(2, 9)
        await pilot.press("colon", *"nonsense", "enter")
        await until(pilot, lambda: "There is no command nonsense" in screen_text(app))


async def test_an_action_that_cannot_be_done_says_why(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("g", "p", "escape")
        await until(pilot, lambda: app.frame is app.explorer)
        await pilot.press("v", "d")
        await until(pilot, lambda: "There is no explanation yet." in screen_text(app))


async def test_one_goes_back_and_forward_through_visited_neurons(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("colon", *"5:131", "enter", "J", "J", "J", "colon", *"2:7", "enter")
        await until(pilot, lambda: "Neuron 2:7" in screen_text(app))
        await pilot.press("H")  # three steps are one visit
        await until(pilot, lambda: "Neuron 5:134" in screen_text(app))
        await pilot.press("backspace")
        await until(pilot, lambda: "Neuron 5:131" in screen_text(app))
        await pilot.press("9", "H")
        await until(pilot, lambda: "Neuron 0:0" in screen_text(app))
        await pilot.press("H")
        await until(pilot, lambda: "This is the first one." in screen_text(app))
        await pilot.press("3", "L")
        await until(pilot, lambda: "Neuron 2:7" in screen_text(app))
        await pilot.press("H", "colon", *"1:1", "enter", "L")
        await until(pilot, lambda: "This is the last one." in screen_text(app))


async def test_marks_are_set_and_gone_to_from_another_screen(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("colon", *"5:131", "enter", "m", "a", "colon", *"1:1", "enter", "m", "b")
        await until(pilot, lambda: "1:1 is marked b." in screen_text(app))
        await pilot.press("T")
        await until(pilot, lambda: app.frame.NAME == "triage")
        await pilot.press("apostrophe")
        await until(pilot, lambda: "a 5:131  b 1:1" in screen_text(app))
        await pilot.press("a")
        await until(pilot, lambda: "Neuron 5:131" in screen_text(app))
        await pilot.press("apostrophe", "z")
        await until(pilot, lambda: "There is no mark z" in screen_text(app))


async def test_a_text_is_found_in_list_excerpts_and_facts(home: Path) -> None:
    async with running(home) as (app, pilot):
        engine = app.engine
        assert engine is not None and engine.index is not None
        for index, note in ((40, "about the sea"), (900, "the sea again")):
            await engine.store.set_note(engine.index.model_id, NeuronId(0, index), note)
        app.explorer._feed.again()
        await until(pilot, lambda: not app.explorer._feed._stale)
        await pilot.press("slash", *"sea", "enter")
        await until(pilot, lambda: "Neuron 0:40" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: "Neuron 0:900" in screen_text(app))
        await pilot.press("n")  # round the end
        await until(pilot, lambda: "Neuron 0:40" in screen_text(app))
        await pilot.press("N")
        await until(pilot, lambda: "Neuron 0:900" in screen_text(app))
        heatmap = app.explorer._heatmap
        tokens = heatmap.passages[-1].tokens
        wanted = max((t.decode("utf-8", "replace").strip() for t in tokens), key=len)
        await pilot.press("tab", "slash", *wanted, "enter", "N")
        assert heatmap.current is not None
        passage, token = heatmap.current
        rest = b"".join(passage.tokens[token:]).decode("utf-8", "replace").lower()
        assert wanted.lower() in rest[: len(wanted) + 8]
        await pilot.press("slash", *"qqqq", "enter")
        await until(pilot, lambda: "qqqq is not here." in screen_text(app))
        await pilot.press("tab", "slash", *"top tok", "enter")
        await until(pilot, lambda: "top tok  1 of 1" in screen_text(app))


async def test_commands_are_completed_and_remembered(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("colon", *"group b", "tab")
        await until(pilot, lambda: ": group b" in screen_text(app))
        await pilot.press("tab", "enter")
        assert app.session.group.startswith("b")
        await pilot.press("colon", *"sort score", "enter")
        await until(pilot, lambda: "best explained first" in screen_text(app))
        await pilot.press("colon", *"theme light", "enter")
        assert app.theme == "neuroglass-light"
        await pilot.press("colon", "up", "up", "enter")
        assert app.session.commands[-1] == "sort score"
        await pilot.press("colon", *"help explain", "enter")
        await until(pilot, lambda: "Explain the neuron and score it" in screen_text(app))
        await pilot.press("colon", *"sort x", "enter")
        await until(pilot, lambda: "There is no order x" in screen_text(app))
        await pilot.press("colon", *"model other", "enter")
        await until(pilot, lambda: "Scan other over the same text?" in screen_text(app))
        await pilot.press("escape", "colon", *"neuron.n", "tab", "enter")
        await until(pilot, lambda: "Neuron 0:1" in screen_text(app))
        await pilot.press("colon", *"q", "enter")
        await until(pilot, lambda: app.leaving)


def test_history_is_bounded_and_forgets_what_was_gone_back_from() -> None:
    history = History()
    for index in range(500):
        history.visit(NeuronId(0, index))
    assert len(history.places) == 200 and history.go(-500) == NeuronId(0, 300)
    history.visit(NeuronId(1, 1))
    assert history.go(1) is None and history.go(-1) == NeuronId(0, 300)


@given(st.lists(st.sampled_from([b"ab", b" a", b"b", b"\xe6", b"\xbc\xa2", b"A"]), max_size=12))
def test_finding_in_tokens_names_the_token_where_it_begins(tokens: list[bytes]) -> None:
    text = b"".join(tokens)
    for wanted in ("ab", "b a", "漢"):
        needle = wanted.encode()
        starts = [i for i in range(len(text)) if text.lower().startswith(needle, i)]
        owners = [n for n, token in enumerate(tokens) for _ in token]
        assert in_tokens(tokens, wanted) == sorted({owners[i] for i in starts})


async def test_a_question_takes_the_keys_that_come_in_one_burst_with_it(home: Path) -> None:
    async with running(home) as (app, pilot):
        for key in (*"gg", "colon", *"1:7", "enter"):
            character = ":" if key == "colon" else "\r" if key == "enter" else key
            app.post_message(events.Key("colon" if key == ":" else key, character))
        await until(pilot, lambda: "Neuron 1:7" in screen_text(app))
        assert not app.frame.asking
