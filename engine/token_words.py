"""What kind of thing a token is, in words a person would use.

A byte-level token is whatever bytes were common: a word with its leading space, an
ending, four spaces, a third of a character.  This module names kinds and classes of
tokens and quotes single ones inertly; it knows nothing of neurons.  The word lists are
English, the rest of the classes go by the characters alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Kind(StrEnum):
    """The broad kind of a token; every token has exactly one."""

    WORD = "word"
    BEGINNING = "beginning"  # of a word that goes on in the next token
    ENDING = "ending"  # of a word that began before
    PIECE = "piece"  # of the inside of a word, or either of these
    LETTER = "letter"
    NUMBER = "number"
    SIGN = "sign"
    SPACE = "space"
    BYTES = "bytes"  # not a whole character


@dataclass(frozen=True, slots=True)
class Joins:
    """How often a token was seen, and how often it went on a word to its sides."""

    seen: int
    left: int
    right: int


def token_text(token: bytes) -> str | None:
    """The token as text; None if it is not whole UTF-8 characters."""
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return None


def kind_of(token: bytes, joins: Joins | None = None) -> Kind:
    """The kind of a token.

    Args:
        joins: What was seen around it; None: the leading space alone decides, so a
            lower-case token without one is a piece.
    """
    text = token_text(token)
    if text is None:
        return Kind.BYTES
    core = text.strip()
    if not core:
        return Kind.SPACE
    if core.isnumeric():
        return Kind.NUMBER
    letters = core.replace("'", "").replace("\u2019", "")
    if not letters.isalpha():
        return Kind.SIGN
    if joins is not None and joins.seen:
        return _joined_kind(core, joins, text[0].isspace())
    if len(core) == 1 and core not in "aAIO":
        return Kind.LETTER
    return Kind.WORD if text[0].isspace() or core[0].isupper() else Kind.PIECE


def _joined_kind(core: str, joins: Joins, spaced: bool) -> Kind:
    left = not spaced and joins.left * 2 > joins.seen
    right = joins.right * 2 > joins.seen
    if left:
        return Kind.PIECE if right else Kind.ENDING
    if right:
        return Kind.BEGINNING
    return Kind.LETTER if len(core) == 1 and core not in "aAIO" else Kind.WORD


def quoted(token: bytes) -> str:
    """One token for a sentence, in quotes and inert.

    The leading space is left out.  Characters that would not show, or would act on a
    terminal (controls, bidi marks, ...), stand as their U+XXXX names.
    """
    text = token_text(token)
    if text is None:
        return "bytes " + " ".join(f"{byte:02X}" for byte in token)
    core = text.strip(" ") or text
    parts: list[str] = []
    plain = ""
    for char in core:
        if _shows(char) and not (unicodedata.combining(char) and not plain):
            plain += char
            continue
        if plain:
            parts.append(_in_quotes(plain))
            plain = ""
        name = {"\n": "line break", "\t": "tab"}.get(char, f"U+{ord(char):04X}")
        if not parts or parts[-1] != name:
            parts.append(name)
    if plain:
        parts.append(_in_quotes(plain))
    return " ".join(parts)


_SIGN_NAMES = {
    ".": "full stops", ",": "commas", ":": "colons", ";": "semicolons", "-": "hyphens",
    "_": "underscores", "`": "backticks", "\u2019": "apostrophes", "'": "single quotation marks",
    '"': "double quotation marks", "!": "exclamation marks", "?": "question marks",
    "/": "slashes", "*": "asterisks", "=": "equals signs", "%": "percent signs",
    "$": "dollar signs", "(": "opening brackets", ")": "closing brackets",
    "|": "vertical bars", "#": "hash signs",
}  # fmt: skip


def sign_name(token: bytes) -> str | None:
    """The plural name of a sign that has one, such as commas."""
    text = token_text(token)
    return None if text is None else _SIGN_NAMES.get(text.strip(" "))


def space_name(token: bytes) -> str:
    """What a token of nothing but white space is, in the plural."""
    if b"\n" in token:
        if token.count(b"\n") > 1:
            return "blank lines"
        return "line breaks" if token.strip(b"\n") == b"" else "indented line breaks"
    if b"\t" in token:
        return "tabs"
    if token.strip(b" "):
        return "unusual white space"
    return "single spaces" if len(token) == 1 else "runs of spaces"


def _shows(char: str) -> bool:
    return char == " " or not unicodedata.category(char).startswith(("C", "Z"))


def _in_quotes(text: str) -> str:
    if '"' not in text:
        return f'"{text}"'
    return f"'{text}'" if "'" not in text else f"«{text}»"


def listing(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    names = list(items)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


# ---------------------------------------------------------------- classes

_CLOSED: dict[str, str] = {
    "articles": "a an the",
    "prepositions": "of in on at by for from to with into onto upon over under between among "
    "through during against about within without toward towards across behind beyond beneath "
    "beside near above below along around after before until since despite via per amid except",
    "conjunctions": "and or but nor so yet because although though while whereas unless if than "
    "as lest",
    "subject pronouns": "i he she it we they thou",
    "object pronouns": "me him her us them thee",
    "personal pronouns": "i you he she it we they me him her us them thou thee ye",
    "possessives": "my your his her its our their thy mine yours hers ours theirs thine whose",
    "reflexive pronouns": "myself yourself himself herself itself ourselves themselves thyself",
    "question words": "who whom whose which what when where why how",
    "demonstratives": "this that these those such",
    'forms of "to be"': "be is are was were am been being art wast",
    'forms of "to have"': "have has had having hath hast",
    'forms of "to do"': "do does did done doing doth dost",
    "modal verbs": "can could may might must shall should will would ought cannot need",
    "negations": "no not nor never none nothing nobody neither without cannot nowhere n't",
    "words of quantity": "all any some each every many much more most few several both either "
    "half enough less least other another various numerous multiple",
    "number words": "one two three four five six seven eight nine ten eleven twelve twenty "
    "thirty forty fifty sixty hundred thousand million billion trillion dozen",
    "ordinals": "first second third fourth fifth sixth seventh eighth ninth tenth last next",
    "months": "january february march april may june july august september october november "
    "december jan feb mar apr jun jul aug sep oct nov dec",
    "weekdays": "monday tuesday wednesday thursday friday saturday sunday",
    "words of time": "day days week weeks month months year years hour hours minute minutes "
    "century centuries today tomorrow yesterday night morning evening time times moment now then",
    "units of measure": "km kg kwh mw kw cu sq mm cm m g lb ft mi bbl meters metres kilometers "
    "miles feet inches tons tonnes hectares barrels percent usd gmt hz gb mb kb ms degrees kt",
    "points of the compass": "north south east west northern southern eastern western northeast "
    "northwest southeast southwest northwestern southwestern central",
    "family words": "mother father brother sister son daughter wife husband child children "
    "parents uncle aunt cousin nephew niece grandfather grandmother family",
    "parts of the body": "hand hands head face eyes eye arm arms foot feet heart hair mouth lips "
    "ear ears nose neck shoulder shoulders finger fingers knee knees leg legs body blood",
    "titles": "mr mrs ms miss dr sir lord lady king queen prince duke captain president minister "
    "general judge professor saint st",
    "words of speech": "said say says saying replied asked answered cried told speak spoke "
    "exclaimed whispered called",
    "programming keywords": "def class return import lambda elif except raise yield assert pass "
    "none true false self async await fn let mut impl struct enum pub",
    "names of data types": "int str float bool list dict tuple bytes string array vec char",
    "names of exceptions": "valueerror typeerror keyerror indexerror runtimeerror error "
    "exception attributeerror importerror nameerror syntaxerror",
    "Roman numerals": "ii iii iv vi vii viii ix xi xii xiii xiv xv",
}  # fmt: skip

_PATTERNS: dict[str, str] = {
    "numbers": r" ?\d+",
    "single digits": r" ?\d",
    "two-digit numbers": r" ?\d\d",
    "four-digit numbers": r" ?\d{4}",
    "years": r" ?(1[5-9]|20)\d\d",
    "capital letters": r" ?[A-Z]",
    "words in capitals": r" ?[A-Z]{2,}",
    "capitalised words": r" ?[A-Z][a-z'\u2019]+",
    'words in "-ing"': r" ?[A-Za-z]*ing",
    'words in "-ed"': r" ?[A-Za-z]*ed",
    'words in "-ly"': r" ?[A-Za-z]*ly",
    'words in "-tion"': r" ?[A-Za-z]*[st]ions?",
    'words in "-er"': r" ?[A-Za-z]*ers?",
    'words in "-ment"': r" ?[A-Za-z]*ments?",
    'words in "-al"': r" ?[A-Za-z]*[a-z]al",
    'words in "-ity"': r" ?[A-Za-z]*it(y|ies)",
    'words in "-s"': r" ?[A-Za-z]*[a-rt-z]s",
    "contractions": r"['\u2019](s|t|d|m|re|ve|ll)|n['\u2019]t",
    "full stops": r"\.",
    "ends of sentences": r"[.!?][\"'\u201d\u2019)\]`]*\n*",
    "commas": r",[\"'\u201d\u2019`]?",
    "colons": r" ?:",
    "semicolons": r" ?;",
    "question and exclamation marks": r"[!?][\"'\u201d\u2019]?",
    "quotation marks": r" ?[\"'\u201c\u201d\u2018\u2019]{1,3}",
    "opening quotation marks": r" ?\u201c|\u2018| [\"']",
    "opening brackets": r" ?[(\[{<]+",
    "closing brackets": r"[)\]}>]+[.,;:]*",
    "hyphens and dashes": r" ?[-\u2010-\u2015]{1,3}",
    "backticks": r" ?`{1,3}[.,]?",
    "code formatting marks": r" ?[^\w\s]*`[^\w\s]*",
    "underscores": r" ?_+",
    "slashes": r" ?/+",
    "arithmetic and comparison signs": r" ?([+*/%=<>]|==|!=|<=|>=|\+=|-=|//|\*\*)",
    "currency signs": r" ?-?[$\u20ac\u00a3\u00a5]",
    "ruled lines": r" ?([-=*_~#.+]\s?){3,}",
    "mark-up tags": r"[^\w\s]*(</|/>|<!|->|\"></?)[^\w\s]*",
    "line breaks": r"\s*\n\s*",
    "blank lines": r"\s*\n\s*\n\s*",
    "indentation": r"\n?[ \t]{2,}|\n[ \t]+",
}

_WORDS: dict[str, tuple[str, ...]] = {}
for _name, _list in _CLOSED.items():
    for _word in _list.split():
        _WORDS[_word] = (*_WORDS.get(_word, ()), _name)
_COMPILED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_SCRIPTS = (
    "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "CJK", "HIRAGANA", "KATAKANA", "HANGUL",
    "THAI",
)  # fmt: skip


@lru_cache(maxsize=1 << 16)
def classes_of(token: bytes) -> tuple[str, ...]:
    """Names, in the plural, of all classes a token belongs to; possibly none."""
    text = token_text(token)
    if text is None:
        return ("parts of characters beyond ASCII",)
    names = [name for name, pattern in _COMPILED.items() if pattern.fullmatch(text)]
    core = text.strip()
    # A closed word needs its leading space, or to be a word by its capital; otherwise
    # "in" could as well be the end of "begin".
    if text[:1] == " " or core[:1].isupper() or len(core) > 5:
        names += _WORDS.get(core.casefold(), ())
    if core and not core.isascii() and core[0].isalpha():
        script = unicodedata.name(core[0], "").partition(" ")[0]
        if script in _SCRIPTS:
            names.append("Chinese characters" if script == "CJK" else f"{script.title()} letters")
        elif script == "LATIN":
            names.append("letters with accents")
    return tuple(names)
