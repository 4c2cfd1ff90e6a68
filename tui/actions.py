"""Every action of the app in one table: bindings, palette, footer and help derive from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType

_SHOWN = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "asterisk": "*",
    "question_mark": "?",
    "colon": ":",
    "comma": ",",
    "full_stop": ".",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something a key does.

    Attributes:
        name: Textual action, found as ``action_<name>`` on the explorer.
        keys: Textual key names, the one to show first. Every action has at least
            one that any terminal can send: no chord alone.
        title: A word or two, for the footer.
        description: A sentence without full stop, for help and palette.
        group: Heading in the help.
        footer: Whether it is one of the few that the footer shows.
        palette: Whether the palette offers it; moving about is left out.
    """

    name: str
    keys: tuple[str, ...]
    title: str
    description: str
    group: str
    footer: bool = False
    palette: bool = True

    @property
    def shown_keys(self) -> str:
        """The keys as people write them."""
        return " ".join(_SHOWN.get(key, key.replace("ctrl+", "^")) for key in self.keys)

    @property
    def first_key(self) -> str:
        """The key to teach."""
        return _SHOWN.get(self.keys[0], self.keys[0])


def _move(direction: str, keys: tuple[str, ...], description: str) -> Action:
    return Action(f"move('{direction}')", keys, direction, description, "Move", palette=False)


_NEURON, _EXCERPTS, _EXPLAIN, _APP = "Neurons", "Excerpts", "Explanations", "Program"
_LAB = "Effects and experiments"

ACTIONS: tuple[Action, ...] = (
    _move("down", ("j", "down"), "Next neuron, excerpt or line"),
    _move("up", ("k", "up"), "Previous neuron, excerpt or line"),
    _move("left", ("h", "left"), "Previous token; in the list, layer"),
    _move("right", ("l", "right"), "Next token; in the list, layer"),
    _move("page_down", ("pagedown", "space"), "One page down"),
    _move("page_up", ("pageup", "b"), "One page up"),
    _move("half_down", ("ctrl+d",), "Half a page down"),
    _move("half_up", ("ctrl+u",), "Half a page up"),
    _move("home", ("home", "less_than_sign"), "First"),
    _move("end", ("end", "G", "greater_than_sign"), "Last"),
    Action("pane(1)", ("tab",), "pane", "Next pane", "Move", palette=False),
    Action("pane(-1)", ("shift+tab",), "pane", "Previous pane", "Move", palette=False),
    Action("enter", ("enter",), "open", "From the list into the excerpts", "Move", palette=False),
    Action("neuron(1)", ("n", "J"), "next", "Next neuron, from any pane", _NEURON, footer=True),
    Action("neuron(-1)", ("p", "K"), "previous", "Previous neuron, from any pane", _NEURON),
    Action("layer(-1)", ("left_square_bracket",), "layer", "Previous layer", _NEURON),
    Action("layer(1)", ("right_square_bracket",), "layer", "Next layer", _NEURON, footer=True),
    Action("goto", ("g",), "go to", "Go to a neuron, such as 5:131", _NEURON, footer=True),
    Action("random", ("r",), "random", "A random neuron of any layer", _NEURON),
    Action("sort", ("o",), "sort", "Sort the list by the next column", _NEURON, footer=True),
    Action("star", ("asterisk",), "star", "Star the neuron, or take its star away", _NEURON),
    Action("note", ("m",), "note", "Write a note about the neuron", _NEURON),
    Action("group(1)", ("full_stop",), "group", "Next group of excerpts", _EXCERPTS, footer=True),
    Action("group(-1)", ("comma",), "group", "Previous group of excerpts", _EXCERPTS),
    *(
        Action(f"show_group({n})", (str(n),), "group", f"Group {n}: {what}", _EXCERPTS)
        for n, what in enumerate(
            (
                "the strongest",
                "between the .99 and .999 quantiles",
                "between the .9 and .99 quantiles",
                "between the .5 and .9 quantiles",
                "below the median",
                "drawn at random",
                "the most negative",
                "held-out, real above simulated",
            ),
            start=1,
        )
    ),
    Action("worst", ("w",), "worst", "Jump to the worst predicted excerpt", _EXCERPTS),
    Action("explain", ("e",), "explain", "Explain the neuron and score it", _EXPLAIN, footer=True),
    Action("choices", ("c",), "choices", "Choose explainer, simulator, scorers", _EXPLAIN),
    Action("write", ("E",), "own words", "Score an explanation of your own", _EXPLAIN),
    Action("compare", ("v",), "compare", "Explanations of the neuron side by side", _EXPLAIN),
    Action("cancel", ("escape", "x"), "cancel", "Cancel; else back to the list", _EXPLAIN),
    Action("save", ("s",), "save", "Save the explanation with its score", _EXPLAIN, footer=True),
    Action("triage", ("T",), "triage", "Explain many neurons; leaderboard", _EXPLAIN),
    Action("effects", ("f",), "effects", "What it reads and writes", _LAB, footer=True),
    Action("prompt", ("i",), "prompt", "Try it on a typed text", _LAB, footer=True),
    Action("scan", ("S",), "scan", "Start the scan, or stop it", _APP),
    Action("copy", ("y",), "copy", "Copy neuron and explanation", _APP),
    Action("light", ("t",), "theme", "Switch between dark and light", _APP),
    Action("redraw", ("R", "ctrl+l"), "redraw", "Draw the screen again", _APP),
    Action("palette", ("colon", "ctrl+p"), "commands", "Find any command", _APP, palette=False),
    Action("help", ("question_mark", "f1"), "keys", "All keys", _APP, footer=True),
    Action("quit", ("q", "ctrl+q", "ctrl+c"), "quit", "Quit", _APP, footer=True),
)


def bindings() -> list[BindingType]:
    """One Textual binding per action."""
    return [
        Binding(
            ",".join(action.keys),
            action.name,
            action.description,
            show=action.footer,
            id=action.name.replace("('", ".").replace("(", ".").replace("')", "").replace(")", ""),
        )
        for action in ACTIONS
    ]
