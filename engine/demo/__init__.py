"""The embedded demo: a small GPT-2, and text to scan it with.

The text is the project's own passages in many genres, and two things that every
CPython carries: the language reference (``pydoc_data.topics``) and the docstrings of
the standard library, both read when asked for.  The docstrings are parsed, never
imported, so nothing is run.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from engine.text import Document

MODEL_DIR = Path(__file__).parent / "model"
PASSAGES_DIR = Path(__file__).parent / "passages"
#: Standard library modules whose docstrings are read, and characters taken of each.
MODULES = 160
MODULE_CHARACTERS = 9_000
#: A module with less to say than this is passed over.
MODULE_MINIMUM = 400


def demo_documents() -> Iterator[Document]:
    """Every demo document, in a fixed order for one version of Python."""
    yield from passages()
    yield from _reference()
    yield from _docstrings()


def passages() -> Iterator[Document]:
    """The project's own passages, each a document named ``genre: title``."""
    for path in sorted(PASSAGES_DIR.glob("*.txt")):
        title, lines = "", list[str]()
        for line in [*path.read_text("utf-8").splitlines(keepends=True), "=== "]:
            if line.startswith("=== "):
                if text := "".join(lines).strip("\n"):
                    yield Document(f"{path.stem}: {title}", text)
                title, lines = line[4:].strip(), []
            else:
                lines.append(line)


def _reference() -> Iterator[Document]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # a slimmed-down Python: fewer documents, nothing else
        return
    for name in sorted(topics):
        yield Document(f"python reference: {name}", topics[name])


def _docstrings() -> Iterator[Document]:
    folder = Path(sysconfig.get_path("stdlib"))
    found = 0
    for path in sorted(folder.glob("*.py")):
        if path.stem.startswith("_") or found == MODULES:
            continue
        text = _docstrings_of(path)
        if len(text) >= MODULE_MINIMUM:
            found += 1
            yield Document(f"python library: {path.stem}", text[:MODULE_CHARACTERS])


def _docstrings_of(path: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for node in ast.walk(tree) if isinstance(node, kinds))
    return "\n\n".join(filter(None, (ast.get_docstring(node) for node in nodes)))
