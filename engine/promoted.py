"""The tokens that every neuron of a model promotes most: a product of whole matrices, kept.

The weights are those of :meth:`engine.subject.SubjectModel.output_weights`, computed in
float32 for a block of neurons at once.  The demo model takes a second or two; GPT-2 small
about 1.4e12 multiplications, a minute on two cores.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.anatomy import scale, written
from engine.lab import Stop, go_on
from engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from engine.subject import SubjectModel

#: Tokens kept of each neuron, the largest weight first.
COUNT = 10
#: Bytes that the weights of one block of neurons may take.
BLOCK_BYTES = 64 << 20
FOLDER = "promoted"


def promoted_of_all(
    subject: SubjectModel, layers: int, neurons: int, stop: Stop
) -> NDArray[np.int32]:
    """Token ids that each neuron promotes most, int32 [layers * neurons, COUNT].

    Args:
        layers, neurons: The first so many, and of each the first so many; an index may be
            of a part of a model.

    Rows of the embedding that no token uses are left out.
    """
    import torch

    anatomy, vocabulary = subject.anatomy, subject.vocabulary
    with torch.inference_mode():
        head = anatomy.head.weight.float()
        if anatomy.narrow is not None:
            head = head @ anatomy.narrow.weight.float()
        unused = [i for i in range(len(head)) if not vocabulary.token(i)]
        block = max(1, BLOCK_BYTES // (4 * len(head)))
        found = []
        for projection in anatomy.projections[:layers]:
            own = written(projection)[:neurons].float()
            own = own * scale(anatomy.final_norm, own.shape[1]).to(own)
            for rows in torch.split(own, block):
                go_on(stop)
                weights = rows @ head.T
                weights[:, unused] = -torch.inf
                found.append(weights.topk(COUNT, dim=1).indices.to("cpu", torch.int32))
    result: NDArray[np.int32] = torch.cat(found).numpy()
    return result


def load(home: Path, model_id: str, neurons: int) -> NDArray[np.int32] | None:
    """What :func:`keep` kept of a model; None if there is nothing sound."""
    path = home / FOLDER / f"{model_id}.npy"
    try:
        found: NDArray[np.int32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = found.dtype == np.int32 and found.shape == (neurons, COUNT)
    return found if sound else None


def keep(home: Path, model_id: str, found: NDArray[np.int32]) -> None:
    """Keep it for the next time; where that can't be, it is computed again."""
    folder = home / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            np.save(file, found, allow_pickle=False)
        os.replace(file.name, folder / f"{model_id}.npy")
    except OSError:
        return


def named(vocabulary: Vocabulary, text: str) -> NDArray[np.int64]:
    """Ids of the tokens that read like a text, whatever their case and spaces."""
    wanted = text.strip().casefold().encode()
    ids = [i for i in range(len(vocabulary)) if _core(vocabulary.token(i)) == wanted]
    return np.array(ids, dtype=np.int64)


def _core(token: bytes) -> bytes:
    return (
        token.decode("utf-8", "surrogateescape")
        .strip()
        .casefold()
        .encode("utf-8", "surrogateescape")
    )
