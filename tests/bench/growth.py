"""How a scan's time and memory grow with the text and with the model.

    python -m tests.bench.growth [--shapes small medium xl] [--no-text]

Each row is a scan in a process of its own.  The text grows on the demo model, whole
scans of a quarter, a half and all of its demo text; the model grows over one short text.
Memory is what the process needed for itself at most, beside what the scan had planned;
the resident size also counts pages of the weights' file, which the system may take back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.demo import demo_documents
from tests.bench.scan import SHAPES, make_checkpoint

_CHILD = """
import json, resource, sys, threading, time
from pathlib import Path
from engine.events import ScanPlanned, ScanProgress, ScanFinished
from engine.scan import run_scan
from engine.scan_request import ScanRequest
own, over, began = 0, threading.Event(), None
def watch():
    global own
    while not over.wait(0.01):
        lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
        own = max(own, 1024 * int(lines["RssAnon"].split()[0]))
threading.Thread(target=watch, daemon=True).start()
for event in run_scan(ScanRequest.from_json(sys.argv[1]), Path(sys.argv[2])):
    if isinstance(event, ScanPlanned):
        plan = event
    if isinstance(event, ScanProgress) and began is None:
        began = time.perf_counter()
over.set()
assert isinstance(event, ScanFinished), event
print(json.dumps({
    "tokens": plan.tokens, "neurons": plan.neurons, "planned": plan.memory_bytes,
    "model": plan.model_bytes, "seconds": time.perf_counter() - began,
    "own": own, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def row(name: str, request: dict[str, object], home: Path) -> None:
    """Scan in a child and print what it took."""
    from engine.scan_request import ScanRequest

    text = ScanRequest(**request).to_json()  # type: ignore[arg-type]
    command = [sys.executable, "-c", _CHILD, text, str(home)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        print(f"{name:16} failed: {result.stderr.strip().splitlines()[-1]}")
        return
    facts = json.loads(result.stdout)
    print(
        f"{name:16} {facts['neurons']:>8,} {facts['tokens']:>8,} {facts['seconds']:>7.1f} "
        f"{1e6 * facts['seconds'] / facts['tokens']:>9,.0f} {facts['model'] / 1e6:>8,.0f} "
        f"{facts['planned'] / 1e6:>8,.0f} {facts['own'] / 1e6:>8,.0f} "
        f"{(facts['own'] - facts['planned']) / 1e6:>6,.0f} {facts['peak'] / 1e6:>9,.0f}",
        flush=True,
    )


def texts(folder: Path, count: int, step: int = 1, characters: int | None = None) -> str:
    """A file of every ``step``-th demo document, ``count`` at most."""
    path = folder / f"{count}-{step}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for document in list(demo_documents())[::step][:count]:
            file.write(json.dumps({"text": document.text[:characters]}) + "\n")
    return str(path)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--no-text", dest="text", action="store_false")
    options = parser.parse_args()
    print(
        f"{'':16} {'neurons':>8} {'tokens':>8} {'s':>7} {'us/token':>9} {'model MB':>8} "
        f"{'planned':>8} {'own MB':>8} {'over':>6} {'resident':>9}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for step in (4, 2, 1) if options.text else ():
            source = texts(folder, 10**6, step)
            row(f"demo, 1/{step} text", {"sources": (source,)}, folder / "home")
        for shape in options.shapes:
            checkpoint = folder / shape
            checkpoint.mkdir()
            make_checkpoint(checkpoint, shape)
            source = texts(folder, 10, 7, 4000)
            request = {"model": str(checkpoint), "sources": (source,), "batch": 32}
            row(f"GPT-2 {shape}", request, folder / "home")


if __name__ == "__main__":
    main()
