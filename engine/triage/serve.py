"""What the background process runs: ``python -m engine.triage.serve HOME TRIAGE``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path

from engine.errors import NeuroglassError


async def serve(home: Path, triage: int) -> None:
    """Run it to the end, or until a signal or the store says stop."""
    from engine.engine import Engine
    from engine.store import TriageState

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with Engine.open(home) as engine:
        stored = engine.store.triage(triage)
        if stored is None:
            return
        try:
            engine.open_index(Path(stored.index_path))
            events = await engine.triages().carry_out(triage, stop)
        except NeuroglassError as error:
            await engine.store.update_triage(
                triage,
                state=TriageState.FAILED,
                message=error.message,
                remedy=error.remedy,
                exit_code=error.exit_code,
            )
            raise
        async with aclosing(events) as stream:
            async for _ in stream:
                pass


def main(home: Path, triage: int) -> None:
    """Serve one run; its lock is open already."""
    os.nice(10)
    try:
        asyncio.run(serve(home, triage))
    except NeuroglassError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
