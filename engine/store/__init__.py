"""Persistence: what was found out about neurons, and what people noted, in SQLite.

The file is meant to be read by others too: plain tables with integer keys and real
foreign keys, ISO 8601 times, JSON as text, full text search, and views that answer the
first questions.  ``sqlite3``, sqlite-utils and Datasette can open it while the app runs.
"""

from engine.store.deletion import KEPT_DAYS
from engine.store.imports import Added, Source, StoredImport
from engine.store.kinds import (
    Annotation,
    Counts,
    IndexFacts,
    Order,
    SavedPatterns,
    SearchHit,
    StoredExplanation,
    StoredSimulation,
    StoredSource,
)
from engine.store.library import Facets, LibraryFilter, LibraryOrder, LibraryRow
from engine.store.selecting import Selection
from engine.store.store import Store
from engine.store.triages import StoredTriage, Triaged, TriageState

__all__ = [
    "KEPT_DAYS",
    "Added",
    "Annotation",
    "Counts",
    "Facets",
    "IndexFacts",
    "LibraryFilter",
    "LibraryOrder",
    "LibraryRow",
    "Order",
    "SavedPatterns",
    "SearchHit",
    "Selection",
    "Source",
    "Store",
    "StoredExplanation",
    "StoredImport",
    "StoredSimulation",
    "StoredSource",
    "StoredTriage",
    "TriageState",
    "Triaged",
]
