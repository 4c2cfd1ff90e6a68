"""Every action of the app in one table: keys, footer, help and palette derive from it."""

from __future__ import annotations

from dataclasses import dataclass

EXPLORER, LIBRARY, TRIAGE, MAP = "explorer", "library", "triage", "map"
LAB, EFFECTS, COMPARE, CHOICES = "lab", "effects", "compare", "choices"
SENSES = "senses"


@dataclass(frozen=True, slots=True)
class Action:
    """Something a key does.

    Attributes:
        id: Stable name, for the keymap of the config file and the command line.
        keys: Key names as Textual has them, the one to show first; several keys one
            after another are parted by a space. Every action has at least one that any
            terminal can send: no chord alone.
        title: A word or two, for the footer.
        description: What it does, for help and palette, in at most 44 characters.
        group: Heading in the help.
        screens: Where it can be done; empty for everywhere. A screen's own action takes
            its keys from one that is everywhere.
        run: Method of the screen without its ``action_``, and the arguments; by default
            the id with ``_`` for ``.``.
        footer: Whether it is one of the few that the footer shows.
        needs: ``engine``, ``neuron``, or the neuron's ``model``: what has to be there.
        takes: What the next key is, which is given to the method; empty for none.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    description: str
    group: str
    screens: tuple[str, ...] = ()
    run: tuple[str | int, ...] = ()
    footer: bool = False
    needs: str = ""
    takes: str = ""

    @property
    def method(self) -> str:
        """Name of the screen's method."""
        return f"action_{self.run[0] if self.run else self.id.replace('.', '_')}"

    @property
    def arguments(self) -> tuple[str | int, ...]:
        """What the method is called with."""
        return self.run[1:]


def _move(direction: str, keys: tuple[str, ...], description: str) -> Action:
    title = direction.replace("_", " ")
    identity = f"move.{direction.replace('_', '-')}"
    return Action(identity, keys, title, description, "Move", run=("move", direction))


_GO, _NEURON, _EXCERPTS, _EXPLAIN, _APP = "Go", "Neurons", "Excerpts", "Explanations", "Program"
_TRIAGE, _LAB, _EFFECTS, _CHOICES = "Triage", "Prompt lab", "Effects", "Choices"
_LIBRARY, _MAP, _VIEW, _SENSES = "Library", "Neuron map", "View", "Senses"
#: Screens that are gone back from.
_BELOW = (LIBRARY, MAP, TRIAGE, LAB, EFFECTS, SENSES, COMPARE, CHOICES)
_HEATMAPS = (EXPLORER, LAB, SENSES)
_FINDS = (EXPLORER, LAB, EFFECTS, SENSES, COMPARE)
_PANES = (EXPLORER, LAB, EFFECTS, SENSES, COMPARE, CHOICES)

ACTIONS: tuple[Action, ...] = (
    # -- the explorer
    Action("neuron.next", ("J",), "next", "Next neuron, from any pane", _NEURON, (EXPLORER,),
           ("neuron", 1), footer=True, needs="neuron"),
    Action("neuron.previous", ("K",), "previous", "Previous neuron, from any pane", _NEURON,
           (EXPLORER,), ("neuron", -1), needs="neuron"),
    Action("layer.next", ("right_square_bracket",), "layer", "Next layer", _NEURON, (EXPLORER, MAP),
           ("layer", 1), footer=True, needs="neuron"),
    Action("layer.previous", ("left_square_bracket",), "layer", "Previous layer", _NEURON,
           (EXPLORER, MAP), ("layer", -1), needs="neuron"),
    Action("history.back", ("H", "ctrl+o", "backspace", "alt+left"), "back",
           "Back to the neuron before", _NEURON, (EXPLORER,), ("history", -1), needs="neuron"),
    Action("history.forward", ("L", "alt+right"), "forward", "Forward again", _NEURON,
           (EXPLORER,), ("history", 1), needs="neuron"),
    Action("mark.set", ("m",), "mark", "Mark the neuron: m and a letter", _NEURON, (EXPLORER,),
           needs="neuron", takes="and a letter marks the neuron"),
    Action("neuron.random", ("r",), "random", "A random neuron of any layer", _NEURON, (EXPLORER,),
           ("random",), needs="neuron"),
    Action("sort", ("o",), "sort", "Sort the list by the next column", _NEURON,
           (EXPLORER, LIBRARY, TRIAGE), footer=True, needs="neuron"),
    Action("star", ("asterisk",), "star", "Star the neuron, or take its star away", _NEURON,
           (EXPLORER, LIBRARY), needs="neuron"),
    Action("note", ("a",), "note", "Write a note about the neuron", _NEURON,
           (EXPLORER, LIBRARY), needs="neuron"),
    Action("tags", ("number_sign",), "tags", "Edit the neuron's tags", _NEURON,
           (EXPLORER, LIBRARY), needs="neuron"),
    Action("group.next", ("full_stop",), "group", "Next group; 7. is the seventh", _EXCERPTS,
           (EXPLORER, EFFECTS), ("group", 1), footer=True, needs="neuron"),
    Action("group.previous", ("comma",), "group", "Previous group", _EXCERPTS,
           (EXPLORER, EFFECTS), ("group", -1), needs="neuron"),
    Action("worst", ("w",), "worst", "Jump to the worst predicted excerpt", _EXCERPTS,
           (EXPLORER,), needs="neuron"),
    Action("view.numbers", ("V",), "numbers", "Values in figures, or not", _VIEW, _HEATMAPS,
           ("numbers",), needs="neuron"),
    Action("view.scale", ("z",), "scale", "One scale per neuron, or per excerpt", _VIEW,
           _HEATMAPS, ("scale",), needs="neuron"),
    Action("view.difference", ("d",), "difference", "Real minus simulated, or both", _VIEW,
           (EXPLORER,), ("difference",), needs="neuron"),
    Action("view.colours", ("C",), "colours", "Other colours of activations", _VIEW, _HEATMAPS,
           ("colours",)),
    Action("view.write", ("X",), "write", "Write what is shown to a file", _VIEW, (EXPLORER,),
           ("export",), needs="neuron"),
    Action("report", ("W",), "report", "Write a report, one HTML page, to a file", _VIEW,
           (EXPLORER, TRIAGE), needs="neuron"),
    Action("excerpt.copy", ("Y",), "copy", "Copy the excerpt's text", _EXCERPTS, (EXPLORER,),
           ("copy_excerpt",), needs="neuron"),
    Action("explain", ("e",), "explain", "Explain the neuron and score it", _EXPLAIN,
           (EXPLORER,), footer=True, needs="neuron"),
    Action("choices", ("c",), "choices", "Choose explainer, simulator, scorers", _EXPLAIN,
           (EXPLORER, TRIAGE), needs="engine"),
    Action("write", ("E",), "own words", "Score an explanation of your own", _EXPLAIN,
           (EXPLORER,), needs="neuron"),
    Action("compare", ("v",), "compare", "Explanations of the neuron side by side", _EXPLAIN,
           (EXPLORER,), needs="neuron"),
    Action("save", ("s",), "save", "Save the explanation with its score", _EXPLAIN,
           (EXPLORER,), footer=True, needs="neuron"),
    Action("copy", ("y",), "copy", "Copy neuron and explanation", _EXPLAIN,
           (EXPLORER, LIBRARY),
           needs="neuron"),
    Action("cancel", ("escape", "x"), "cancel", "Cancel; else back to the list", _EXPLAIN,
           (EXPLORER,)),
    # -- the library
    Action("library.find", ("slash",), "find", "Search and filter as you type", _LIBRARY,
           (LIBRARY,), footer=True, needs="engine"),
    Action("library.limit", ("f",), "filter", "Choose what is shown, limit by limit", _LIBRARY,
           (LIBRARY,), footer=True, needs="engine"),
    Action("library.mark", ("space",), "mark", "Mark, to compare two or delete several",
           _LIBRARY, (LIBRARY,), footer=True, needs="engine"),
    Action("library.compare", ("v",), "compare", "The two marked ones side by side", _LIBRARY,
           (LIBRARY,), footer=True, needs="engine"),
    Action("delete", ("d",), "delete", "Delete; u brings back, for 30 days", _EXPLAIN,
           (LIBRARY, COMPARE), footer=True, needs="engine"),
    Action("undo", ("u",), "undo", "Bring back what was deleted last", _EXPLAIN,
           (LIBRARY, COMPARE), footer=True, needs="engine"),
    # -- the map
    Action("map.zoom-in", ("plus", "equals_sign"), "zoom in", "Twice as close", _MAP, (MAP,),
           ("map_zoom", 1), footer=True, needs="neuron"),
    Action("map.zoom-out", ("minus",), "zoom out", "Half as close", _MAP, (MAP,),
           ("map_zoom", -1), footer=True, needs="neuron"),
    Action("map.fit", ("z",), "whole", "The whole model in sight", _MAP, (MAP,), needs="neuron"),
    Action("map.next", ("full_stop",), "measure", "Next measure; 2. is the second", _MAP, (MAP,),
           ("map_quantity", 1), footer=True, needs="neuron"),
    Action("map.previous", ("comma",), "measure", "Previous measure", _MAP, (MAP,),
           ("map_quantity", -1), needs="neuron"),
    Action("map.unexplained", ("u",), "unexplained", "Next neuron without an explanation", _MAP,
           (MAP,), footer=True, needs="neuron"),
    Action("map.pool", ("p",), "max, mean", "Maximum or mean of a cell's neurons", _MAP, (MAP,),
           needs="neuron"),
    Action("map.signs", ("c",), "signs", "Levels as colours, or as signs", _MAP, (MAP,),
           needs="neuron"),
    # -- the triage
    Action("triage.new", ("N",), "new run", "Start a run over many neurons", _TRIAGE, (TRIAGE,),
           footer=True, needs="engine"),
    Action("triage.pause", ("p",), "stop, resume", "Stop the run, or go on with it", _TRIAGE,
           (TRIAGE,), footer=True, needs="engine"),
    Action("triage.filter", ("slash", "f"), "filter", "Filter by words, score, layer, explainer",
           _TRIAGE, (TRIAGE,), footer=True, needs="engine"),
    # -- the prompt lab
    Action("lab.type", ("i",), "type", "Type the text", _LAB, (LAB,), footer=True),
    Action("lab.ablate", ("a",), "ablate", "Take the neuron away, compare predictions", _LAB,
           (LAB,), footer=True),
    Action("lab.change", ("c",), "change", "Ablate to another value", _LAB, (LAB,), footer=True),
    Action("lab.where", ("w",), "where", "Ablate everywhere, or at one token", _LAB, (LAB,),
           footer=True),
    Action("lab.steer", ("s",), "steer", "Continue with the neuron up and down", _LAB, (LAB,),
           footer=True),
    Action("lab.seed", ("r",), "seed", "Steer with other dice", _LAB, (LAB,), footer=True),
    Action("lab.open", ("o",), "explorer", "Open the neuron in the explorer", _LAB, (LAB,),
           footer=True),
    # -- effects, senses, comparing, choosing
    Action("effects.follow", ("f",), "follow", "Effects of the neuron under the cursor", _EFFECTS,
           (EFFECTS,), footer=True),
    Action("senses.side", ("s",), "other side", "Senses of the other side of zero", _SENSES,
           (SENSES,), footer=True),
    Action("choices.save", ("s",), "save", "Take these choices and remember them", _CHOICES,
           (CHOICES,), footer=True),
    # -- moving
    _move("down", ("j", "down"), "Next row, excerpt or line; 5j five"),
    _move("up", ("k", "up"), "Previous row, excerpt or line"),
    _move("left", ("h", "left"), "Left; in the list, previous layer"),
    _move("right", ("l", "right"), "Right; in the list, next layer"),
    _move("page_down", ("pagedown", "space"), "One page down"),
    _move("page_up", ("pageup", "b"), "One page up"),
    _move("half_down", ("ctrl+d",), "Half a page down"),
    _move("half_up", ("ctrl+u",), "Half a page up"),
    _move("home", ("g g", "home", "less_than_sign"), "First"),
    _move("end", ("G", "end", "greater_than_sign"), "Last; 12G goes to 12"),
    Action("find", ("slash",), "find", "Find a text in the list or the text", "Move", _FINDS),
    Action("find.next", ("n",), "next", "Next place of that text", "Move", _FINDS,
           ("find_next", 1)),
    Action("find.previous", ("N",), "previous", "Previous place of that text", "Move", _FINDS,
           ("find_next", -1)),
    Action("pane.next", ("tab",), "pane", "Next pane", "Move", _PANES, ("pane", 1)),
    Action("pane.previous", ("shift+tab",), "pane", "Previous pane", "Move", _PANES, ("pane", -1)),
    Action("open", ("enter",), "open", "Open what is under the cursor", "Move", footer=True),
    # -- going elsewhere
    Action("go.explorer", ("g e",), "explorer", "Explorer", _GO, run=("go", EXPLORER)),
    Action("go.library", ("g l",), "library", "Library: all saved explanations", _GO,
           run=("go", LIBRARY), needs="engine"),
    Action("go.map", ("g m", "M"), "map", "Neuron map: all neurons at a glance", _GO,
           run=("go", MAP), needs="neuron"),
    Action("go.triage", ("g t", "T"), "triage", "Triage: explain many neurons; leaderboard", _GO,
           run=("go", TRIAGE), needs="model"),
    Action("go.lab", ("g p", "i"), "prompt lab", "Prompt lab: try it on a typed text", _GO,
           run=("go", LAB), footer=True, needs="model"),
    Action("go.effects", ("g f", "f"), "effects", "Effects: what it reads and writes", _GO,
           run=("go", EFFECTS), footer=True, needs="model"),
    Action("go.senses", ("g s",), "senses", "Senses: the several things it fires on", _GO,
           run=("go", SENSES), needs="model"),
    Action("mark.jump", ("apostrophe",), "mark", "Go to a marked neuron: ' and its letter", _GO,
           needs="neuron", takes="and a letter goes to"),
    Action("back", ("escape", "q", "ctrl+c"), "back", "Back to where you came from", _GO,
           _BELOW, footer=True),
    # -- the program
    Action("command", ("colon",), "command", "Command line: :5:131, :help, any action", _APP),
    Action("palette", ("ctrl+p", "g colon"), "palette", "Find any action", _APP),
    Action("scan", ("S",), "scan", "Start the scan, or stop it", _APP),
    Action("theme", ("t",), "theme", "Switch between dark and light", _APP, run=("light",)),
    Action("redraw", ("R", "ctrl+l"), "redraw", "Draw the screen again", _APP),
    Action("help", ("question_mark", "f1"), "keys", "Keys of this screen", _APP, footer=True),
    Action("quit", ("q", "ctrl+q", "ctrl+c"), "quit", "Quit", _APP, footer=True),
)  # fmt: skip


def actions_of(screen: str) -> list[Action]:
    """What can be done on a screen: its own actions first, then those of everywhere."""
    own = [action for action in ACTIONS if screen in action.screens]
    return own + [action for action in ACTIONS if not action.screens]
