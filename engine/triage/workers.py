"""Explaining without language models in several processes: as many as there are cores.

The work is Python and small arrays, which threads would only hand to and fro.  Each
process opens the index by itself and gets a few neurons of one layer at a time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from pathlib import Path

from engine.choices import Choices
from engine.index import Index
from engine.neuron import NeuronId
from engine.store import Triaged
from engine.triage.sources import Ending, explained
from engine.workbench import Workbench

#: Neurons handed to a process at a time: about a tenth of a second of work.
CHUNK = 16
#: Fewer neurons than this are done before a process has started.
WORTH_A_PROCESS = 2 * CHUNK

_index: Index
_choices: Choices
_bench: Workbench


def processes_for(neurons: int) -> int:
    """How many processes so many neurons are worth; 0: none."""
    if neurons < WORTH_A_PROCESS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, neurons // CHUNK)


async def in_processes(
    path: Path, neurons: Sequence[NeuronId], choices: Choices, processes: int
) -> AsyncGenerator[Triaged, None]:
    """Explain neurons in so many processes; results come in the order of the neurons.

    Args:
        path: The index's folder.
        choices: Of parts that need no language model.

    Raises:
        Ending: every further neuron would fail alike, or a process died.
        NeuroglassError: the choices can't be carried out, or the index is damaged.
    """
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _open, (path, choices)
    )
    waiting: deque[asyncio.Future[list[Triaged]]] = deque()
    loop = asyncio.get_running_loop()
    try:
        for chunk in chunks(neurons):
            # One chunk more than processes, so that none waits for us.
            if len(waiting) > processes:
                for result in await waiting.popleft():
                    yield result
            waiting.append(loop.run_in_executor(pool, _explain, chunk))
        while waiting:
            for result in await waiting.popleft():
                yield result
    except BrokenProcessPool:
        raise Ending(
            "A process of the run ended unexpectedly.",
            "It may have been out of memory. Resume the run: it goes on where it was.",
            1,
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def chunks(neurons: Sequence[NeuronId]) -> Iterator[list[NeuronId]]:
    """Neighbouring neurons of one layer, a few at a time."""
    for _, group in groupby(neurons, key=lambda neuron: neuron.layer):
        layer = list(group)
        for first in range(0, len(layer), CHUNK):
            yield layer[first : first + CHUNK]


def _open(path: Path, choices: Choices) -> None:
    """What every process does first."""
    global _index, _choices, _bench
    _index, _choices, _bench = Index.open(path), choices, Workbench(path)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        # A parent that was killed tells its children nothing.
        parent.join()
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()


def _explain(neurons: Sequence[NeuronId]) -> list[Triaged]:
    return asyncio.run(_explained(neurons))


async def _explained(neurons: Sequence[NeuronId]) -> list[Triaged]:
    results = []
    for neuron in neurons:
        events = _bench.explain(_index, neuron, _choices, offline=True)
        result, _ = await explained(events, neuron)
        results.append(result)
    return results
