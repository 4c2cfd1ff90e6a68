"""From a model's name as the user writes it to the model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.errors import UsageError
from engine.models.faults import Fault, LanguageModelError
from engine.models.keys import SERVICE, find_key
from engine.models.model import LanguageModel
from engine.models.presets import PRESETS, Preset

LOCAL = "local"
#: The provider of a server that is named by its address.
SERVER = "server"
#: Environment variable with the key of a server that is named by its address.
SERVER_KEY = "NEUROGLASS_API_KEY"
#: What a server without keys gets: the SDK insists on one.
_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model of which backend.

    Attributes:
        provider: ``local``, a preset's name, or ``server`` for an address.
        model: The model's name there; a checkpoint for ``local``.
        base_url: Address of a ``server``, else empty.
    """

    provider: str
    model: str
    base_url: str = ""

    def __str__(self) -> str:
        """As the user writes it; :func:`parse_ref` reads it."""
        return f"{self.base_url}#{self.model}" if self.base_url else f"{self.provider}:{self.model}"

    @property
    def address(self) -> str:
        """Where requests go: empty for a local model.

        Raises:
            UsageError: if the environment variable that replaces it holds no address.
        """
        preset = PRESETS.get(self.provider)
        if self.base_url or preset is None:
            return self.base_url
        replaced = os.environ.get(preset.base_url_name, "").strip()
        return _address(replaced, preset.base_url_name) if replaced else preset.base_url


def parse_ref(text: str) -> ModelRef:
    """Read ``PROVIDER:MODEL``, ``BASE_URL#MODEL`` or ``local:CHECKPOINT``.

    Model names may contain colons and slashes.

    Raises:
        UsageError: if it is none of these, or the provider is not known.
    """
    text = text.strip()
    if text.startswith(("http://", "https://")):
        url, _, model = text.partition("#")
        if not model.strip():
            raise UsageError(
                "The address names no model.", "Write the model after the address: URL#MODEL."
            )
        return ModelRef(SERVER, model.strip(), _address(url, "the model's name"))
    provider, colon, model = (part.strip() for part in text.partition(":"))
    if not colon or not model:
        raise UsageError(
            f"{text!r} is not the name of a model.",
            "Write PROVIDER:MODEL, local:CHECKPOINT, or URL#MODEL.",
        )
    if provider != LOCAL and provider not in PRESETS:
        raise UsageError(
            f"There is no provider {provider!r}.",
            f"Choose local, {', '.join(PRESETS)}, or write URL#MODEL.",
        )
    return ModelRef(provider, model)


def connect(
    ref: ModelRef | str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    stall_seconds: float = 60,
    offline: bool = False,
) -> LanguageModel:
    """The bare backend: no cache, no retries, no budget, no request yet.

    Blocks while a vendor's SDK is imported (about half a second), and while the keyring
    is asked: for a thread.  A local model is loaded when it is first used.

    Args:
        device, dtype: Of a local model.
        stall_seconds: How long a stream may be silent.
        offline: Nothing will be sent, so a missing key doesn't matter.

    Raises:
        UsageError: the name makes no sense.
        LanguageModelError: ``NO_KEY``, with the environment variable to set.
    """
    if isinstance(ref, str):
        ref = parse_ref(ref)
    if ref.provider == LOCAL:
        from engine.models.local import LocalModel

        return LocalModel(ref.model, device=device, dtype=dtype)
    preset = PRESETS.get(ref.provider)
    secret = _NO_KEY if offline else _secret(preset)
    if preset is not None and preset.kind == "anthropic":
        from engine.models.anthropic_api import AnthropicModel

        return AnthropicModel(
            ref.model, api_key=secret, base_url=ref.address, stall_seconds=stall_seconds
        )
    from engine.models.openai_api import OpenAIModel

    return OpenAIModel(
        ref.model,
        api_key=secret,
        base_url=ref.address,
        provider=ref.provider,
        api="auto" if preset is not None and preset.kind == "openai" else "chat",
        stall_seconds=stall_seconds,
    )


def identity(ref: ModelRef | None, model: LanguageModel) -> str:
    """What tells backends apart that have the same name, for the reply cache.

    A backend's own ``identity`` if it has one, as a local model has; else provider and
    address. Blocks for a local model, whose files are looked at.

    Raises:
        LanguageModelError: a local model that is not there.
    """
    own = getattr(model, "identity", "")
    if own or ref is None:
        return str(own or model.provider)
    return f"{ref.provider} {ref.address}"


def _secret(preset: Preset | None) -> str:
    if preset is None:
        return os.environ.get(SERVER_KEY, "").strip() or _NO_KEY
    found = find_key(preset.name)
    if found is not None:
        return found.reveal()
    if preset.key_names:
        raise LanguageModelError(
            Fault.NO_KEY,
            f"There is no key for {preset.name}.",
            f"Set {preset.key_names[0]} (keys: {preset.site}), or store one with: "
            f"keyring set {SERVICE} {preset.name}.",
        )
    return _NO_KEY


def _address(url: str, where: str) -> str:
    """An address without the slash at its end; UsageError if it can't be one."""
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        raise UsageError(f"The address in {where} is malformed.", "Check it.") from None
    if parts.scheme not in ("http", "https") or not named:
        raise UsageError(f"The address in {where} is malformed.", "Write http://HOST:PORT/v1.")
    if parts.username is not None or parts.password is not None or parts.query:
        # The address is stored and shown, a secret in it would be too.
        raise UsageError(
            f"The address in {where} may hold a secret.",
            f"Leave out user, password and query; put a key into {SERVER_KEY}.",
        )
    return url
