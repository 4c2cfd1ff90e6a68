"""Explaining without language models in several processes: as many as there are cores.

The work is Python and small arrays, which threads would only hand to and fro.  Each
helper (:mod:`engine.triage.helper`) opens the index by itself, gets a few neurons of one
layer at a time through its standard input, and answers on its standard output.  When
this process dies in any way, that input ends, and so does the helper.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from engine.choices import Choices
from engine.errors import NeuroglassError
from engine.machine import cores, memory_bytes
from engine.neuron import NeuronId
from engine.scan_process import python_path
from engine.store import Triaged
from engine.triage.sources import CHUNK, Ending

#: Fewer neurons than this are done before a helper has started.
WORTH_A_PROCESS = 2 * CHUNK
#: What a helper that reads text takes, about; all of them may take half the memory.
HEAVY_BYTES = 1_500_000_000
#: Answers that may wait to be taken.
WAITING = 8
#: Each message is its length in so many bytes, little-endian, and a pickle.
LENGTH = 8


def processes_for(neurons: int, choices: Choices) -> int:
    """How many helpers so many neurons are worth, and memory allows; 0: none."""
    if neurons < WORTH_A_PROCESS:
        return 0
    helpers = min(cores(), neurons // CHUNK)
    if choices.explainer == "patterns":
        # Each holds the subject model and a text's states.
        helpers = min(helpers, max(1, memory_bytes() // (2 * HEAVY_BYTES)))
    return helpers


async def in_processes(
    path: Path, neurons: Sequence[NeuronId], choices: Choices, processes: int
) -> AsyncGenerator[Triaged, None]:
    """Explain neurons in so many helpers; about in the order of the neurons.

    Args:
        path: The index's folder.
        choices: Of parts that need no language model.

    Raises:
        Ending: every further neuron would fail alike, or a helper died.
    """
    left = chunks(neurons)
    results: asyncio.Queue[list[Triaged] | None] = asyncio.Queue()
    helpers = [
        asyncio.create_task(_helped(path, choices, left, results), name="triage-helper")
        for _ in range(processes)
    ]

    async def everyone() -> None:
        try:
            await asyncio.gather(*helpers)
        finally:
            results.put_nowait(None)

    ended = asyncio.create_task(everyone(), name="triage-helpers")
    try:
        while (some := await results.get()) is not None:
            for result in some:
                yield result
        await ended
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(ended, *helpers, return_exceptions=True)


def chunks(neurons: Sequence[NeuronId]) -> Iterator[list[NeuronId]]:
    """Neighbouring neurons of one layer, a few at a time."""
    for _, group in groupby(neurons, key=lambda neuron: neuron.layer):
        layer = list(group)
        for first in range(0, len(layer), CHUNK):
            yield layer[first : first + CHUNK]


async def _helped(
    path: Path,
    choices: Choices,
    left: Iterator[list[NeuronId]],
    results: asyncio.Queue[list[Triaged] | None],
) -> None:
    """One helper, from its start until no chunk is left."""
    helper = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine.triage.helper",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A session of its own: ctrl+c in the terminal is for whoever started it.
        start_new_session=True,
        env={**_ONE_THREAD, **os.environ, "PYTHONPATH": python_path()},
    )
    assert helper.stdin is not None and helper.stdout is not None
    try:
        _send(helper.stdin, (path, choices))
        for chunk in left:
            _send(helper.stdin, chunk)
            await helper.stdin.drain()
            size = int.from_bytes(await helper.stdout.readexactly(LENGTH), "little")
            reply = pickle.loads(await helper.stdout.readexactly(size))
            if isinstance(reply, tuple):
                raise Ending(*reply)
            results.put_nowait(reply)
            # So that memory does not fill where the disk is slow.
            while results.qsize() > WAITING:
                await asyncio.sleep(0.05)
    except (asyncio.IncompleteReadError, ConnectionError):
        code = await helper.wait()
        raise Ending(
            f"A helper of the run ended unexpectedly (status {code}).",
            "It may have been out of memory. Resume the run: it goes on where it was.",
            1,
        ) from None
    finally:
        with suppress(ProcessLookupError):
            helper.kill()
        await helper.wait()


#: There are as many helpers as cores, so each does its arithmetic in one thread.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def _send(pipe: asyncio.StreamWriter, value: object) -> None:
    data = pickle.dumps(value)
    pipe.write(len(data).to_bytes(LENGTH, "little") + data)


def ending(error: NeuroglassError) -> tuple[str, str, int]:
    """A failure as a helper tells it."""
    return error.message, error.remedy, error.exit_code
