"""``neuroglass doctor``: is everything in order, and where is what."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options

PACKAGES = (
    "neuroglass",
    "textual",
    "rich",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "sqlite-utils",
    "anthropic",
    "openai",
)
SIGNS = {"ok": "✓", "note": "·", "fail": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        status: ``ok``, ``note`` (worth knowing, nothing is wrong) or ``fail``.
        facts: The same as ``text``, as JSON values.
    """

    name: str
    status: str
    text: str
    facts: dict[str, Any]


@click.command("doctor", short_help="Check model, index, store and terminal.")
@click.option("--model", default="demo", show_default=True, help="The model to look for.")
@json_option
@place_options
def command(place: Place, model: str, as_json: bool) -> None:
    """Check the installation, the model, the index and the store.

    Changes nothing. The exit status is 0 only if nothing is wrong.
    """
    from engine.glyphs import inert

    findings = []
    for finding in _findings(place, model):
        findings.append(finding)
        if not as_json:
            sign = SIGNS[finding.status]
            click.echo(f"{sign} {finding.name:<10} {inert(finding.text)}")
    healthy = all(finding.status != "fail" for finding in findings)
    if as_json:
        output.print_json(
            {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}, indent=2
        )
    if not healthy:
        raise click.exceptions.Exit(1)


def _findings(place: Place, model: str) -> Iterator[Finding]:
    from engine.paths import default_home

    home = place.home or default_home()
    yield _python()
    yield from _guarded("packages", _packages)
    yield from _guarded("torch", _torch)
    yield from _guarded("model", lambda: _model(model))
    yield from _guarded("home", lambda: _home(home))
    yield from _guarded("index", lambda: _index(home, place.index))
    yield from _guarded("store", lambda: _store(home))
    yield from _guarded("replies", lambda: _replies(home))
    yield from _guarded("keys", _keys)
    yield from _guarded("config", _config)
    yield _terminal()


def _guarded(name: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    """A check that itself fails is a finding: the others are still wanted."""
    from engine.errors import NeuroglassError

    try:
        yield look()
    except NeuroglassError as error:
        yield Finding(name, "fail", str(error), {"message": error.message, "remedy": error.remedy})
    except Exception as error:  # whatever is broken here is what was asked for
        text = f"{type(error).__name__}: {error}"
        yield Finding(name, "fail", text, {"message": text, "remedy": ""})


def _python() -> Finding:
    facts = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }
    text = f"{facts['python']} at {facts['executable']}, {facts['platform']}"
    return Finding("python", "ok", text, facts)


def _packages() -> Finding:
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    # From a source tree that was never installed everything else still works.
    missing = [name for name, found in versions.items() if not found and name != "neuroglass"]
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if missing:
        text = f"missing: {', '.join(missing)}; {text}"
    return Finding("packages", "fail" if missing else "ok", text, versions)


def _torch() -> Finding:
    import torch

    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    device = torch.cuda.get_device_name() if cuda else "cpu"
    facts = {"device": device, "cuda": cuda, "mps": mps, "threads": torch.get_num_threads()}
    return Finding("torch", "ok", f"{device}, {facts['threads']} threads", facts)


def _model(name: str) -> Finding:
    from engine.subject import SubjectModel

    facts = SubjectModel.load(name, device="cpu").facts
    text = f"{name}: {facts.n_layers} layers of {facts.n_neurons:,} neurons, {facts.activation}"
    return Finding("model", "ok", text, asdict(facts))


def _home(home: Path) -> Finding:
    facts = {"home": str(home), "exists": home.is_dir()}
    if not home.exists():
        return Finding("home", "note", f"{home} will be made by the first scan", facts)
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        return Finding("home", "fail", f"{home} is no folder that can be written to", facts)
    return Finding("home", "ok", str(home), facts)


def _index(home: Path, named: Path | None) -> Finding:
    from engine.index import Index
    from engine.paths import read_pointer

    path = named or read_pointer(home)
    if path is None:
        return Finding("index", "note", "nothing has been scanned yet", {"path": None})
    index = Index.open(path)
    index.verify()
    facts = {
        "path": str(path),
        "model": index.model_name,
        "complete": index.complete,
        "windows_scanned": index.windows_scanned,
        "windows_total": index.windows_total,
        "tokens_scanned": index.tokens_scanned,
        "bytes": index.bytes_on_disk,
    }
    state = "complete" if index.complete else "partial, a scan of the same text goes on with it"
    text = (
        f"{index.model_name}, {index.windows_scanned:,} of {index.windows_total:,} windows, "
        f"{state}, {index.bytes_on_disk / 1e6:,.0f} MB in {path}"
    )
    return Finding("index", "ok" if index.complete else "note", text, facts)


def _store(home: Path) -> Finding:
    import asyncio

    from engine.opening import STORE
    from engine.store import Counts, Store

    path = home / STORE
    if not path.exists():
        return Finding("store", "note", "nothing has been saved yet", {"path": str(path)})

    async def look() -> Counts:
        store = Store.open(path)
        try:
            store.check()
            return store.counts()
        finally:
            await store.close()

    counts = asyncio.run(look())
    text = (
        f"{counts.explanations:,} explanations of {counts.explained_neurons:,} neurons, "
        f"{counts.notes:,} notes, {counts.starred:,} stars in {path}"
    )
    return Finding("store", "ok", text, {"path": str(path), **asdict(counts)})


def _replies(home: Path) -> Finding:
    """The cache of replies, opened for reading only: looking must change nothing."""
    import sqlite3

    from engine.errors import StoreError
    from engine.models.replies import FILE_NAME

    path = home / FILE_NAME
    if not path.exists():
        return Finding("replies", "note", "no language model was asked yet", {"path": str(path)})
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            [(sound,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
            replies, tokens = connection.execute(
                "SELECT count(*), coalesce(sum(input_tokens + output_tokens), 0) FROM replies "
                "WHERE input_tokens + output_tokens > 0"
            ).fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        sound = str(error)
    if sound != "ok":
        raise StoreError(
            f"The reply cache {path} is damaged ({sound}).",
            "Delete it: no explanation is lost, only replies that would be asked for again.",
        )
    facts = {
        "path": str(path),
        "replies": replies,
        "tokens": tokens,
        "bytes": path.stat().st_size,
    }
    text = f"{replies:,} replies of {tokens:,} tokens, {facts['bytes'] / 1e6:,.1f} MB in {path}"
    return Finding("replies", "ok", text, facts)


def _keys() -> Finding:
    """Where keys were found; never one of them."""
    from engine.errors import UsageError
    from engine.models.keys import find_key
    from engine.models.presets import PRESETS

    found, wrong = {}, []
    for name in PRESETS:
        try:
            key = find_key(name)
        except UsageError as error:
            wrong.append(error.message)
        else:
            if key is not None:
                found[name] = key.source
    facts = {"keys": found, "wrong": wrong}
    told = [f"{name} from {source}" for name, source in found.items()]
    if wrong:
        return Finding("keys", "fail", "; ".join([*wrong, *told]), facts)
    if not told:
        return Finding("keys", "note", "none; only needed for language models of others", facts)
    return Finding("keys", "ok", ", ".join(told), facts)


def _config() -> Finding:
    from tui.settings import config_path, load

    path = config_path()
    problems = load()[1]
    facts = {"path": str(path), "exists": path.exists(), "problems": problems}
    if problems:
        return Finding("config", "fail", "; ".join(problems), facts)
    if not path.exists():
        return Finding("config", "note", f"{path} is not there; the defaults hold", facts)
    return Finding("config", "ok", str(path), facts)


def _terminal() -> Finding:
    console = output.console()
    names = ("TERM", "COLORTERM", "NO_COLOR", "TMUX", "SSH_CONNECTION")
    facts = {
        "output_is_terminal": sys.stdout.isatty(),
        "colours": console.color_system,
        "encoding": sys.stdout.encoding,
        "columns": console.width,
        "rows": console.height,
        "variables": {name: os.environ[name] for name in names if os.environ.get(name)},
    }
    if not facts["output_is_terminal"]:
        return Finding("terminal", "note", "the output is no terminal", facts)
    text = (
        f"{console.width} x {console.height}, {console.color_system or 'no'} colours, "
        f"{os.environ.get('TERM', 'TERM is not set')}"
    )
    return Finding("terminal", "ok", text, facts)
