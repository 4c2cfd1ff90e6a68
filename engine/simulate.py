"""Simulating many records: several at a time, in order, every failure a status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from engine.errors import MethodError, NeuroglassError
from engine.explanation import Explanation
from engine.method import Method
from engine.models.faults import LanguageModelError
from engine.models.request import Usage
from engine.records import ActivationRecord
from engine.score import ScoredRecord
from engine.scoring import scored_record
from engine.simulation import Scale, Simulation, SimulationStatus, Simulator
from engine.splits import SplitRecord, Splits


async def simulate_all(
    simulator: Simulator,
    explanation: Explanation,
    records: Sequence[SplitRecord],
    parallel: int,
) -> AsyncGenerator[ScoredRecord, None]:
    """Simulate records and yield them in their order.

    Args:
        parallel: How many are under way at the same time.

    Raises:
        LanguageModelError: of a kind after which no other record could be simulated
            either; every other failure is a failed simulation.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(record: ActivationRecord) -> Simulation:
        async with gate:
            return await _simulated(simulator, explanation, record)

    tasks = [asyncio.create_task(one(held.record)) for held in records]
    try:
        for held, task in zip(records, tasks, strict=True):
            simulation = await task
            yield scored_record(held.role, simulation, held.record.activations)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def calibrated(
    explanation: Explanation, method: Method, splits: Splits
) -> tuple[Simulator, Usage]:
    """The method's simulator, calibrated for this explanation if that was chosen.

    Returns:
        With what the calibration used of language models.
    """
    if method.calibration == "none":
        return method.simulator, Usage()
    from engine.simulators.calibrated import CalibratedSimulator

    simulator = CalibratedSimulator(method.simulator, method.calibration)
    usage = Usage()
    try:
        fitted = await simulator.fit(explanation, [held.record for held in splits.calibration])
    except MethodError:
        if method.waiting():  # what is asked for does not depend on the calibration
            return method.simulator, Usage()
        raise
    for one in fitted:
        usage += one.usage
    return simulator, usage


async def _simulated(
    simulator: Simulator, explanation: Explanation, record: ActivationRecord
) -> Simulation:
    excerpt = record.excerpt
    try:
        simulation = await simulator.simulate(explanation, excerpt)
        given, wanted = simulation.expected.shape, (len(record.activations),)
    except NeuroglassError as error:
        if isinstance(error, LanguageModelError) and error.ends_run:
            raise
        return Simulation.failed(excerpt, Scale.NEURON, str(error))
    except Exception as error:  # a simulator may be anything, a network client for one
        text = (str(error).splitlines() or [""])[0].strip()
        why = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return Simulation.failed(excerpt, Scale.NEURON, f"the simulator broke: {why}")
    if given != wanted:
        why = f"the simulator gave {simulation.expected.size} values for {wanted[0]} tokens"
        return Simulation.failed(excerpt, simulation.scale, why)
    return _honest(simulation)


def _honest(simulation: Simulation) -> Simulation:
    """A simulation whose status says what its values do."""
    coverage = simulation.coverage
    if coverage == 1:
        true_status = SimulationStatus.OK
    else:
        true_status = SimulationStatus.PARTIAL if coverage else SimulationStatus.FAILED
    if simulation.status is true_status:
        return simulation
    message = simulation.message or "some tokens have no simulated value"
    return replace(simulation, status=true_status, message=message)
