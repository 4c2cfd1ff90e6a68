"""From a model's reply to one sentence, also while the reply is still coming in.

Models are asked for a bare phrase and answer with more: a polite line before it, a label,
the words the question ended with, quotation marks, a second sentence, their thoughts.
The published code keeps all of that in the explanation, where a simulator then reads it.
"""

from __future__ import annotations

import re

_THOUGHT = re.compile(r"\s*<(think|thinking|thought)>.*?(</\1>|\Z)", re.DOTALL)
_TAGS = ("<think>", "<thinking>", "<thought>")
#: A line that only announces the next one.
_POLITE = re.compile(
    r"(?:sure|certainly|okay|ok|of course|absolutely|here(?:'s|\u2019s| is| are)|based on)\b",
    re.IGNORECASE,
)
#: What may stand before the phrase. It has only words of _LEAD_WORDS: see _begun.
_LEAD = re.compile(
    r"(?:(?:sure|certainly|okay|ok|of course|absolutely)!\s+)?"
    r"(?:[-*\u2022#]+\s+|\d+[.)]\s+)?"
    r"(?:[*_]*(?:(?:final|short|the)\s+)?(?:explanation|answer|description|summary)"
    r"(?:\s+of\s+(?:the\s+)?neuron(?:\s+\d+)?)?[*_]*:[*_]*\s*)?"
    r"(?:(?P<subject>(?:the|this)\s+neuron(?:\s+\d+)?\s+|neuron\s+\d+\s+|it\s+)?"
    r"(?P<verb>(?:mainly\s+|mostly\s+|strongly\s+)?(?:responds|reacts|activates|fires)"
    r"(?:\s+(?:mainly|mostly|strongly|most\s+strongly))?"
    r"\s+(?:to|on|for|when\s+reading)\b:?\s*))?",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_LEAD_WORDS = frozenset(
    _WORD.findall(
        "final short the explanation answer description summary of neuron this it mainly mostly "
        "strongly most responds reacts activates fires to on for when reading"
    )
)
#: Without a subject a verb may be the phrase itself ("responds to ships" of a letter),
#: except for the one that the question ends with.
_ECHO = re.compile(r"fires on\b", re.IGNORECASE)
#: Not after an abbreviation or an initial, which are short or have capitals.
_SENTENCE_END = re.compile(r"(?<=[a-z]{3})[.!?][\"'\u201d\u2019)]*\s(?=[A-Z\"\u201c])")
_QUOTES = {'"': '"', "\u201c": "\u201d", "'": "'", "\u2018": "\u2019", "`": "`", "*": "*"}
#: At the end of an unfinished reply these may turn out not to belong to the sentence.
_LOOSE = " .!?\"'\u201d\u2019)]`*"

_REFUSAL = re.compile(
    r"(?:(?:i['\u2019]m|i am) (?:sorry|unable|not able)\b|sorry[,.]? (?:but )?i\b|as an ai\b"
    r"|i can(?:not|['\u2019]t) (?:help|assist|answer|comply|determine|identify|provide|find|tell))",
    re.IGNORECASE,
)
_SAYS_NOTHING = frozenset(
    {
        "unclear",
        "unknown",
        "unsure",
        "none",
        "n/a",
        "nothing",
        "not clear",
        "no pattern",
        "no clear pattern",
        "no explanation",
        "cannot be determined",
    }
)


def cleaned(reply: str) -> str:
    """The first sentence that says something, without a final full stop; may be empty."""
    return _sentence(reply, whole=True)


def settled(reply: str) -> str:
    """As much of :func:`cleaned` as no further text can change.

    Args:
        reply: The beginning of a reply.
    """
    return _sentence(reply, whole=False)


def says_something(sentence: str) -> bool:
    """Whether a cleaned sentence can be an explanation: neither empty nor a refusal."""
    if not any(char.isalnum() for char in sentence):
        # Signs alone may well be what a neuron responds to.
        return bool(sentence) and not sentence.startswith("<")
    return sentence.casefold() not in _SAYS_NOTHING and not _REFUSAL.match(sentence)


def _sentence(reply: str, *, whole: bool) -> str:
    text = reply
    thought = _THOUGHT.match(text)
    if thought is not None:
        if not thought[2]:
            return ""
        text = text[thought.end() :]
    elif not whole and any(tag.startswith(text.strip().casefold()) for tag in _TAGS):
        return ""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        done = whole or number < len(lines) - 1
        found = _line(" ".join(line.split()), done)
        if found or not done:
            return found
    return ""


def _line(text: str, done: bool) -> str:
    if _POLITE.match(text) and (not done or text.endswith(":")):
        return ""
    if not done and not _begun(text):
        return ""
    text = _without_lead(text)
    if not done and text[:1] in _QUOTES:
        return ""
    text = _first_sentence(text)
    if not done:
        return text.rstrip(_LOOSE)
    text = text.rstrip(" .")
    bare = _unwrapped(text)
    return text if bare == text else _without_lead(bare).rstrip(" .")


def _begun(text: str) -> bool:
    """Whether a whole word has come that can't belong to a lead."""
    return any(
        word[0].casefold() not in _LEAD_WORDS and not word[0].isdigit()
        for word in _WORD.finditer(text)
        if word.end() < len(text)
    )


def _without_lead(text: str) -> str:
    found = _LEAD.match(text)
    assert found is not None  # every part of it may be missing
    end = found.end()
    if found["verb"] and not found["subject"] and not _ECHO.match(found["verb"]):
        end = found.start("verb")
    return text[end:].lstrip()


def _first_sentence(text: str) -> str:
    for end in _SENTENCE_END.finditer(text):
        if text.count('"', 0, end.start()) % 2 == 0:
            return text[: end.start()]
    return text


def _unwrapped(text: str) -> str:
    """Without quotation marks or asterisks around all of it."""
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        inner = text[1:-1]
        if text[0] in inner.strip("*") or text[-1] in inner.strip("*"):
            break
        text = inner.strip().rstrip(" .")
    return text
