"""Where keys come from: the environment, else the system's keyring; never a file of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from engine.errors import UsageError
from engine.models.presets import PRESETS, Preset

#: What keys are filed under in the keyring: ``keyring set neuroglass PROVIDER``.
SERVICE = "neuroglass"


class Key:
    """A secret. It shows itself only to who asks with :meth:`reveal`.

    It can't be pickled or copied into JSON by accident: neither finds a way in.
    """

    __slots__ = ("__secret", "source")

    def __init__(self, secret: str, source: str) -> None:
        """``source`` says where it was found, such as an environment variable's name."""
        self.__secret = secret
        self.source = source

    def reveal(self) -> str:
        """The key itself, to be handed to an SDK and nobody else."""
        return self.__secret

    def __repr__(self) -> str:
        return f"<key from {self.source}>"

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("A key can't be pickled.")


def find_key(provider: str) -> Key | None:
    """The provider's key, or None if there is none.

    Looks at the preset's environment variables, then at the system's keyring if the
    ``keyring`` package is installed.  Blocks while the keyring asks for its password.

    Raises:
        UsageError: no such provider, or a key that can't be sent: with spaces, control
            characters or others outside of ASCII.
    """
    preset = PRESETS.get(provider)
    if preset is None:
        raise UsageError(
            f"There is no provider {provider!r}.", f"Choose one of {', '.join(PRESETS)}."
        )
    return _environment(preset.key_names) or (_keyring(preset) if preset.key_names else None)


def _environment(names: Sequence[str]) -> Key | None:
    for name in names:
        if secret := os.environ.get(name, "").strip():
            return _checked(secret, name)
    return None


def _keyring(preset: Preset) -> Key | None:
    try:
        import keyring
    except ImportError:
        return None
    try:
        secret = (keyring.get_password(SERVICE, preset.name) or "").strip()
    except Exception:  # backends raise what they like: locked, absent, no desktop session
        return None
    return _checked(secret, "the keyring") if secret else None


def _checked(secret: str, source: str) -> Key:
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        # Said without the key: a client's own error would quote it.
        raise UsageError(
            f"The key from {source} has characters that no key has.", "Copy the key again."
        )
    return Key(secret, source)
