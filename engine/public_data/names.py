"""From what a user names to a dataset: ``openai:gpt2-xl``, a folder, a file, an address."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.neuron import NeuronId
from engine.public_data import decode
from engine.public_data.dataset import Identity, PublicDataset
from engine.public_data.kept_files import KeptFiles
from engine.public_data.origins import (
    ABOUT,
    FileOrigin,
    FolderOrigin,
    Origin,
    find_root,
    placed,
    read_bounded,
)
from engine.public_data.problems import PublicDataError
from engine.public_data.shapes import Kind
from engine.public_data.web import WebOrigin

#: Where the published data lies; the environment may name a copy.
BASE = "https://openaipublic.blob.core.windows.net/neuron-explainer"
BASE_VARIABLE = "NEUROGLASS_PUBLIC_DATA"
#: Folder of the cache below a home.
CACHE = "public-data"
PREFIX = "openai:"
#: How the identities of other datasets begin; those of indexes are bare hashes.
_OWN = ("public:", "export:")
_NO_RELATED = frozenset({Kind.ACTIVATIONS, Kind.EXPLANATIONS})


#: From the README of openai/automated-interpretability; the numbers are of GPT-2 small.
_GELU = (
    "computed with an approximate GELU: activations of the same model here differ, by 0.009 in "
    "the median and 0.17 at the .999 quantile"
)


@dataclass(frozen=True, slots=True)
class Published:
    """One of the published datasets.

    Attributes:
        folder: Below the base.
        same: Names that a scan of the same model goes by.
        notes: What its authors say of it.
    """

    folder: str
    layers: int
    neurons: int
    kinds: frozenset[Kind]
    same: tuple[str, ...]
    notes: tuple[str, ...]


PUBLISHED: Mapping[str, Published] = {
    "openai:gpt2-xl": Published(
        "data", 48, 6400, frozenset(Kind), ("gpt2-xl", "openai-community/gpt2-xl"), (_GELU,)
    ),
    "openai:gpt2-small": Published(
        "gpt2_small_data",
        12,
        3072,
        _NO_RELATED,
        ("gpt2", "openai-community/gpt2"),
        (_GELU, "made by a slightly different method: its scores don't compare with GPT-2 XL's"),
    ),
}
_SIZE = re.compile(r"^(?P<url>[^#]+)(?:#(?P<layers>\d{1,4})x(?P<neurons>\d{1,7}))?$")


async def open_dataset(name: str, home: Path) -> PublicDataset:
    """Open a dataset; none of its neurons is read or downloaded yet.

    Args:
        name: ``openai:gpt2-xl``, ``openai:gpt2-small``, a folder laid out as the
            published data is, a file of it, or the address of such a folder; an address
            may end in ``#LAYERSxNEURONS``.
        home: Has the cache.

    Raises:
        UsageError: no such name.
        PublicDataError: it can't be read or reached, or is something else.
    """
    if name.startswith(PREFIX):
        return _published(name, home)
    if name.startswith(("http://", "https://")):
        return await _address(name, home)
    return await asyncio.to_thread(_path, Path(name).expanduser())


def is_dataset(name: str) -> bool:
    """Whether a name looks like one that :func:`open_dataset` takes."""
    known = name.startswith((PREFIX, "http://", "https://"))
    return known or os.sep in name or name in (".", "..") or Path(name).exists()


def is_published(index_id: str) -> bool:
    """Whether an identity in the store is a dataset's, and not a scanned index's."""
    return index_id.startswith((PREFIX, *_OWN))


def _published(name: str, home: Path) -> PublicDataset:
    facts = PUBLISHED.get(name)
    if facts is None:
        raise UsageError(
            f"There is no published dataset {name!r}.",
            f"Name one of {', '.join(PUBLISHED)}, a folder, a file or an address.",
        )
    base = os.environ.get(BASE_VARIABLE, BASE).rstrip("/")
    origin = WebOrigin(f"{base}/{facts.folder}", _cache(home), kinds=facts.kinds)
    # The identity is the dataset's, whichever copy of it is read.
    identity = Identity(name, name, name, name, facts.same)
    return PublicDataset(identity, origin, facts.layers, facts.neurons, facts.notes)


async def _address(name: str, home: Path) -> PublicDataset:
    match = _SIZE.match(name)
    if match is None:
        raise UsageError(f"{name!r} is no address of a dataset.", "Write URL or URL#12x3072.")
    url = match["url"].rstrip("/")
    origin = WebOrigin(url, _cache(home))
    if match["layers"] is not None:
        size = int(match["layers"]), int(match["neurons"])
        return PublicDataset(_identity_of(url, {}), origin, *size)
    for facts in PUBLISHED.values():
        if url.endswith(f"/{facts.folder}"):
            origin.kinds = facts.kinds
            return PublicDataset(_identity_of(url, {}), origin, facts.layers, facts.neurons)
    data = await origin.get(ABOUT)
    about = _about(data, f"{url}/{ABOUT}") if data is not None else {}
    if not about:
        await origin.close()
        raise UsageError(
            f"{url} doesn't say how many neurons it has.",
            "Write layers and neurons of each behind it: URL#12x3072.",
        )
    return PublicDataset(
        _identity_of(url, about), origin, about["n_layers"], about["n_neurons"], about["notes"]
    )


def _path(path: Path) -> PublicDataset:
    if path.is_file():
        where = placed(path)
        return _file(path) if where is None else _folder(where[0], where[2])
    if not path.is_dir():
        raise UsageError(f"There is no {path}.", "Name a folder or a file of the public data.")
    root = find_root(path)
    if root is None:
        raise PublicDataError(
            f"{path} is no dataset in OpenAI's formats: it has no collated-activations and no "
            "explanations.",
            "Name the folder that holds them.",
        )
    return _folder(root, None)


def _folder(root: Path, only: NeuronId | None) -> PublicDataset:
    origin = FolderOrigin(root, only)
    found = origin.neurons()
    if not found:
        raise PublicDataError(
            f"{root} has no neuron.", "A neuron's file is LAYER/NEURON.json in its folder."
        )
    data = read_bounded(root / ABOUT)
    about = _about(data, str(root / ABOUT)) if data is not None else {}
    layers = max(max(found) + 1, about.get("n_layers", 0))
    neurons = max(max(max(each) for each in found.values()) + 1, about.get("n_neurons", 0))
    identity = _identity_of(str(root.resolve()), about)
    return PublicDataset(identity, origin, layers, neurons, about.get("notes", ()))


def _file(path: Path) -> PublicDataset:
    data = read_bounded(path) or b""
    problems: list[str] = []
    reasons = []
    found: tuple[Kind, NeuronId | None] | None = None
    for kind, read in (
        (Kind.ACTIVATIONS, decode.activations),
        (Kind.EXPLANATIONS, decode.explanations),
    ):
        try:
            found = kind, read(data, problems).neuron
            break
        except decode.Unreadable as problem:
            reasons.append(str(problem))
    if found is None:
        raise PublicDataError(
            f"{path} can't be read: {reasons[0]}.",
            "Name a file of collated activations or of explanations.",
        )
    kind, neuron = found
    neuron = neuron or NeuronId(0, 0)
    origin: Origin = FileOrigin(path, kind, neuron)
    identity = _identity_of(str(path.resolve()), {})
    return PublicDataset(identity, origin, neuron.layer + 1, neuron.index + 1)


def _identity_of(place: str, about: Mapping[str, Any]) -> Identity:
    """Who the neurons are: as the data says of itself, else by where it lies."""
    if about:
        # The model's neurons, but not the index: windows have other numbers in the files.
        name, index = about["model_name"], f"export:{about['index_id']}"
        return Identity(name, about["model_id"], index, about["corpus_id"], (name,))
    name = place.rstrip("/").rsplit("/", 1)[-1] or place
    number = f"public:{hashlib.sha256(place.encode()).hexdigest()[:32]}"
    return Identity(name, number, number, number, ())


def _about(data: bytes, where: str) -> dict[str, Any]:
    """What an export says of itself; checked, since it may come from anywhere."""
    try:
        given = json.loads(data)
        about: dict[str, Any] = {
            name: str(given[name])[:200]
            for name in ("model_name", "model_id", "index_id", "corpus_id")
        }
        about |= {name: int(given[name]) for name in ("n_layers", "n_neurons")}
        about["notes"] = tuple(str(note)[:500] for note in given.get("notes", ()))[:10]
        if not (0 < about["n_layers"] <= 10_000 and 0 < about["n_neurons"] <= 10_000_000):
            raise ValueError("size")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise PublicDataError(
            f"{where} is damaged.", "Remove it: the rest can be read without."
        ) from None
    return about


def _cache(home: Path) -> KeptFiles:
    return KeptFiles(home / CACHE)
