"""Invented neurons that show a language model what is asked of it.

Neurons, texts and numbers are made up for this project.  They differ in the ways that
matter: one responds to a class of words, one to what a word does in its sentence, and one
to pieces of words; most tokens get nothing, as of a real neuron, and what is not a
response lies a little below zero, as after a GELU.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What a neuron gives where it does not respond.
_REST = -0.04


@dataclass(frozen=True, slots=True)
class FewShot:
    """A neuron that was made up.

    Attributes:
        explanation: What it does, in the words an explanation should have.
        records: Texts it read, strongest first, each as tokens and activations.
    """

    explanation: str
    records: tuple[tuple[tuple[str, float], ...], ...]


def _record(marked: str) -> tuple[tuple[str, float], ...]:
    """Tokens parted by ``|``, each with its activation after a ``^`` if it has one."""
    parts = [piece.partition("^") for piece in marked.split("|")]
    return tuple((token, float(value) if value else _REST) for token, _, value in parts)


FEW_SHOTS: tuple[FewShot, ...] = (
    FewShot(
        "musical instruments and the playing of them",
        (
            _record(
                "My| aunt| sold| the| old| cello^4.1| and| bought| two| flutes^3.7|,| a| drum^3.9"
                "| and| a| map| of| Oslo|."
            ),
            _record(
                "When| the| rain| stopped| he| plucked^1.6| his| b|anjo^3.5| on| the| porch|"
                " until| supper|."
            ),
        ),
    ),
    FewShot(
        "the word than and what something is compared with after it",
        (
            _record(
                "The| new| bridge| is| wider| than^2.8| the^1.1| ferry^1.7|,| but| nobody|"
                " crosses| it| at| night|."
            ),
            _record(
                "She| would| rather| walk| than^2.5| wait^1.4| for| a| bus|,| and| so| would|"
                " her| dog|."
            ),
        ),
    ),
    FewShot(
        "endings of words for people by their trade",
        (
            _record(
                "A| bak|er^5.2| and| a| ro|ofer^4.9| shared| the| house| with| three| hens|,|"
                " a| weav|er^5.6| and| her| sister|."
            ),
            _record(
                "Nothing| grows| under| the| fir|s| here|,| the| garden|er^4.4| told| us|;|"
                " try| fern|s|."
            ),
        ),
    ),
)
