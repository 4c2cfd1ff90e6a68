"""From a model's name to the model; where keys come from, and where they never show."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.errors import UsageError
from engine.models import presets
from engine.models.connect import connect, identity, parse_ref
from engine.models.faults import Fault, LanguageModelError
from engine.models.keys import Key, find_key
from engine.models.local import LocalModel
from engine.models.presets import PRESETS

SECRET = "sk-not-a-real-key-0123456789"
KEYED = [name for name, preset in PRESETS.items() if preset.key_names]
OPEN = [name for name, preset in PRESETS.items() if not preset.key_names]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in PRESETS.values():
        for name in (*preset.key_names, preset.base_url_name):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("NEUROGLASS_API_KEY", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.mark.parametrize(
    ("text", "provider", "model", "base_url"),
    [
        ("anthropic:some-model", "anthropic", "some-model", ""),
        (" openrouter:maker/model:free ", "openrouter", "maker/model:free", ""),
        ("ollama:name:7b", "ollama", "name:7b", ""),
        ("local:demo", "local", "demo", ""),
        ("local:/a/folder", "local", "/a/folder", ""),
        ("local:maker/model", "local", "maker/model", ""),
        ("http://localhost:8000/v1#m", "server", "m", "http://localhost:8000/v1"),
        ("https://host/v1/#maker/m#x", "server", "maker/m#x", "https://host/v1"),
        ("http://[::1]:8000/v1#m", "server", "m", "http://[::1]:8000/v1"),
    ],
)
def test_names_of_models(text: str, provider: str, model: str, base_url: str) -> None:
    ref = parse_ref(text)
    assert (ref.provider, ref.model, ref.base_url) == (provider, model, base_url)
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model",
        "anthropic:",
        ":model",
        "nobody:model",
        "http://host/v1",
        "http://#m",
        "http://host:port/v1#m",
        "ftp://host#m",
        "http://user:secret@host/v1#m",
        "http://host/v1?key=secret#m",
    ],
)
def test_names_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ref(text)
    assert caught.value.remedy and "secret@" not in str(caught.value)
    assert "key=" not in str(caught.value)


@pytest.mark.parametrize("name", KEYED)
def test_a_missing_key_names_the_variable_to_set(name: str) -> None:
    with pytest.raises(LanguageModelError) as caught:
        connect(f"{name}:model")
    assert caught.value.fault is Fault.NO_KEY and caught.value.ends_run
    assert PRESETS[name].key_names[0] in caught.value.remedy
    assert PRESETS[name].site in caught.value.remedy


@pytest.mark.parametrize("name", [*KEYED, *OPEN])
async def test_every_preset_connects_without_a_request(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("connected to the network")

    preset = PRESETS[name]
    if preset.key_names:
        monkeypatch.setenv(preset.key_names[-1], f" {SECRET}\n")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    ref = parse_ref(f"{name}:some-model")
    model = connect(ref)
    assert (model.provider, model.model) == (name, "some-model")
    assert identity(ref, model) == f"{name} {preset.base_url}"
    assert SECRET not in repr(model) + str(model)
    await model.close()
    output = capsys.readouterr()
    assert SECRET not in output.out + output.err


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_addresses_and_nothing_more(name: str) -> None:
    preset = PRESETS[name]
    parts = urlsplit(preset.base_url)
    assert parts.scheme == ("http" if name in OPEN else "https") and parts.hostname
    assert not preset.base_url.endswith("/")
    assert re.fullmatch(r"[a-z-]+", name) and re.fullmatch(r"[A-Z_]+", preset.base_url_name)
    assert all(re.fullmatch(r"[A-Z_]+", key) for key in preset.key_names)


def test_no_model_is_named_in_the_code() -> None:
    known = re.compile(r"\b(gpt-\d|claude-|qwen\d|llama-\d|deepseek-(chat|r))", re.IGNORECASE)
    for path in Path(presets.__file__).parent.glob("*.py"):
        assert not known.search(path.read_text("utf-8")), path


async def test_an_address_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROGLASS_QWEN_INTL_BASE_URL", "http://127.0.0.1:9/v1/")
    monkeypatch.setenv("DASHSCOPE_API_KEY", SECRET)
    ref = parse_ref("qwen-intl:m")
    assert ref.address == "http://127.0.0.1:9/v1"
    model = connect(ref)
    assert identity(ref, model) == "qwen-intl http://127.0.0.1:9/v1"
    await model.close()
    monkeypatch.setenv("NEUROGLASS_QWEN_INTL_BASE_URL", "127.0.0.1")
    with pytest.raises(UsageError, match="NEUROGLASS_QWEN_INTL_BASE_URL"):
        connect(ref)


async def test_a_local_model_is_loaded_only_when_used() -> None:
    model = connect("local:no/such/model")
    assert isinstance(model, LocalModel) and model.provider == "local"
    with pytest.raises(LanguageModelError):
        await model.capabilities()
    await model.close()


# ---------------------------------------------------------------- keys


def test_a_key_never_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    key = find_key("openai")
    assert key is not None and key.reveal() == SECRET and key.source == "OPENAI_API_KEY"
    record = logging.LogRecord("x", 10, "x", 1, "%s %r", (key, key), None)
    for shown in (repr(key), str(key), f"{key}", f"{[key]}", f"{key!a}", record.getMessage()):
        assert SECRET not in shown and "OPENAI_API_KEY" in shown
    with pytest.raises(TypeError):
        json.dumps(key)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            copied(key)
        assert SECRET not in str(caught.value)


def test_a_key_that_can_not_be_sent_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    for spoilt in (f"{SECRET}\nX: y", f"{SECRET} more", f"{SECRET}ключ", f"“{SECRET}”"):
        monkeypatch.setenv("OPENAI_API_KEY", spoilt)
        with pytest.raises(UsageError) as caught:
            find_key("openai")
        assert SECRET not in str(caught.value) and "OPENAI_API_KEY" in str(caught.value)


def test_the_environment_comes_before_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring import backend

    class InMemory(backend.KeyringBackend):
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return {("neuroglass", "mistral"): "from-the-keyring"}.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            raise AssertionError("a key was written")

        def delete_password(self, service: str, username: str) -> None:
            raise AssertionError("a key was deleted")

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    try:
        found = find_key("mistral")
        assert found is not None and found.reveal() == "from-the-keyring"
        assert find_key("groq") is None
        monkeypatch.setenv("MISTRAL_API_KEY", "from-the-environment")
        found = find_key("mistral")
        assert found is not None and found.reveal() == "from-the-environment"
    finally:
        keyring.set_keyring(before)


def test_without_the_keyring_package_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert find_key("mistral") is None


def test_servers_of_ones_own_ask_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert find_key("ollama") is None
    with pytest.raises(UsageError, match="no provider"):
        find_key("nobody")


def test_keys_are_equal_only_to_themselves() -> None:
    assert Key("a", "X") != Key("a", "X")
