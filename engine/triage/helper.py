"""What a helper of a run executes: ``python -m engine.triage.helper``."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

from engine.choices import Choices
from engine.errors import NeuroglassError
from engine.index import Index
from engine.neuron import NeuronId
from engine.store import Triaged
from engine.triage.sources import explained
from engine.triage.workers import LENGTH, ending
from engine.workbench import Workbench


def main() -> None:
    """Answer chunks of neurons until the input ends."""
    source = sys.stdin.buffer
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    path, choices = _receive(source)
    index: Index | None = None
    bench = Workbench(path)
    with asyncio.Runner() as runner:
        while (neurons := _receive(source)) is not None:
            reply: object
            try:
                index = index or Index.open(path)
                reply = runner.run(_explained(bench, index, neurons, choices))
            except NeuroglassError as error:
                reply = ending(error)
            data = pickle.dumps(reply)
            answers.write(len(data).to_bytes(LENGTH, "little") + data)
            answers.flush()


async def _explained(
    bench: Workbench, index: Index, neurons: Sequence[NeuronId], choices: Choices
) -> list[Triaged]:
    await bench.prepare(index, neurons, choices)
    results = []
    for neuron in neurons:
        result, _ = await explained(bench.explain(index, neuron, choices, offline=True), neuron)
        results.append(result)
    return results


def _receive(source: BinaryIO) -> Any:
    """The next message; None at the end of the input."""
    head = source.read(LENGTH)
    if len(head) < LENGTH:
        return None
    return pickle.loads(source.read(int.from_bytes(head, "little")))


if __name__ == "__main__":
    main()
