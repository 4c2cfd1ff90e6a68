"""Keys on one screen: which action a key means, counts before it, keys one after another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.errors import UsageError
from tui.actions import Action

_SHOWN = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "asterisk": "*",
    "number_sign": "#",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "question_mark": "?",
    "apostrophe": "'",
    "colon": ":",
    "comma": ",",
    "full_stop": ".",
    "slash": "/",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "shift+tab": "⇧tab",
}
#: A count beyond this is a slip of the hand.
MOST = 99_999


def shown(keys: str) -> str:
    """Keys as people write them: ``gt``, ``^d``, ``pgdn``."""
    return "".join(_SHOWN.get(key, key.replace("ctrl+", "^")) for key in keys.split(" "))


_NAMES = {text: name for name, text in _SHOWN.items() if len(text) == 1 and text.isascii()}
_NAMES |= {
    "esc": "escape",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "#": "number_sign",
    "+": "plus",
    "-": "minus",
    "=": "equals_sign",
    "_": "underscore",
    ";": "semicolon",
    "!": "exclamation_mark",
    "@": "at",
    "$": "dollar_sign",
    "%": "percent_sign",
    "&": "ampersand",
    "(": "left_parenthesis",
    ")": "right_parenthesis",
    "{": "left_curly_bracket",
    "}": "right_curly_bracket",
    "|": "vertical_line",
    "~": "tilde",
    "`": "grave_accent",
    '"': "quotation_mark",
    "\\": "backslash",
}
_KEYS = {
    *_SHOWN,
    *_NAMES.values(),
    *("enter", "tab", "space", "backspace", "delete", "insert", "home", "end"),
    *(f"f{number}" for number in range(1, 13)),
}


_HELD = {"ctrl", "alt", "shift"}


def named(text: str) -> str:
    """Keys as Textual names them, from what a person writes: ``[``, ``ctrl+n``, ``g t``.

    Raises:
        UsageError: there is no such key, or it is a digit, which begins a count.
    """
    return " ".join(_key(one) for one in text.split()) or _key(text)


def _key(text: str) -> str:
    *held, last = text.split("+") if len(text) > 1 else [text]
    last = _NAMES.get(last, last)
    if last.isdecimal():
        raise UsageError(f"{text} is no key for an action:", "digits begin a count.")
    if not (last in _KEYS or (len(last) == 1 and last.isalpha())) or not set(held) <= _HELD:
        raise UsageError(f"There is no key {text!r}.", "Keys are such as n, [, ctrl+n, g t.")
    return "+".join([*held, last])


class Keys:
    """What the keys of one screen do.

    Args:
        own: The screen's own actions.
        everywhere: Actions of every screen; they give way to the screen's own.
        changed: Keys by action id where the user has chosen others.
    """

    def __init__(
        self,
        own: Iterable[Action],
        everywhere: Iterable[Action] = (),
        changed: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._action: dict[tuple[str, ...], Action] = {}
        self._keys: dict[str, list[str]] = {}
        self._following: dict[tuple[str, ...], list[tuple[str, Action]]] = {}
        #: Keys that two actions of the same rank want, with the ids of both.
        self.conflicts: list[tuple[str, str, str]] = []
        changed = changed or {}
        for rank in (list(own), list(everywhere)):
            before = dict(self._action)
            # What the user has chosen comes first: it keeps its key.
            for action in sorted(rank, key=lambda one: one.id not in changed):
                for keys in changed.get(action.id, action.keys):
                    self._bind(action, keys, before)
        for sequence, action in self._action.items():
            for length in range(1, len(sequence)):
                following = self._following.setdefault(sequence[:length], [])
                following.append((sequence[length], action))

    def _bind(self, action: Action, keys: str, outranked: dict[tuple[str, ...], Action]) -> None:
        sequence = tuple(keys.split(" "))
        self._keys.setdefault(action.id, [])
        exact = self._action.get(sequence)
        taken = exact or next(
            (
                other
                for bound, other in self._action.items()
                if bound[: len(sequence)] == sequence or sequence[: len(bound)] == bound
            ),
            None,
        )
        if taken is None:
            self._action[sequence] = action
            self._keys[action.id].append(keys)
        elif taken is not action and (exact is None or exact not in outranked.values()):
            self.conflicts.append((shown(keys), taken.id, action.id))

    def action(self, sequence: tuple[str, ...]) -> Action | None:
        """What these keys mean, if anything."""
        return self._action.get(sequence)

    def following(self, sequence: tuple[str, ...]) -> list[tuple[str, Action]]:
        """Keys that may follow these, with what they do."""
        return self._following.get(sequence, [])

    def of(self, action: Action) -> str:
        """The keys of an action on this screen, as people write them."""
        return " ".join(shown(keys) for keys in self._keys.get(action.id, ()))

    def first(self, action: Action) -> str:
        """The key to teach; empty when it has none here."""
        return next((shown(keys) for keys in self._keys.get(action.id, ())), "")


@dataclass(slots=True)
class Reader:
    """Puts together what was typed so far.

    Attributes:
        digits: The count so far.
        pressed: Keys that more must follow.
        waiting: The action that takes the next key.
    """

    keys: Keys
    digits: str = ""
    pressed: tuple[str, ...] = ()
    waiting: Action | None = None
    _count: int | None = field(default=None)

    @property
    def pending(self) -> bool:
        """Whether more is to follow."""
        return bool(self.digits or self.pressed or self.waiting)

    def take_count(self) -> int | None:
        """The count of the action that runs now; None without one, or once taken."""
        count, self._count = self._count, None
        return count

    def clear(self) -> None:
        """Forget what was typed."""
        self.digits, self.pressed, self.waiting = "", (), None

    def press(self, key: str, character: str | None = None) -> tuple[Action, str] | None:
        """Take a key.

        Returns:
            The action it completes with what that takes, else None: more must follow,
            or the key means nothing, which forgets what was typed before it.
        """
        if self.waiting is not None:
            action = self.waiting
            self.clear()
            return (action, character) if character and key != "escape" else None
        if not self.pressed and key.isdecimal() and (self.digits or key != "0"):
            self.digits += key
            return None
        sequence = (*self.pressed, key)
        found = self.keys.action(sequence)
        if found is None:
            if self.pending and key == "escape":
                self.clear()
            elif self.keys.following(sequence):
                self.pressed = sequence
            else:
                self.clear()
            return None
        if self.digits and key == "escape":
            self.clear()
            return None
        self._count = min(int(self.digits), MOST) if self.digits else None
        self.clear()
        if found.takes:
            self.waiting = found
            return None
        return found, ""
