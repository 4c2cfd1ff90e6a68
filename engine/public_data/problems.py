"""What goes wrong with a published dataset."""

from __future__ import annotations

from engine.errors import IndexFormatError


class PublicDataError(IndexFormatError):
    """A dataset, or all of one neuron in it, can't be read or reached."""


#: What to do when a server does not give what it should.
TRY_LATER = "Try again later; what was loaded before stays in the cache."
