"""Results on their way in: datasets and databases of others, checked before anything enters."""

from engine.imports.importing import Imported, import_results

__all__ = ["Imported", "import_results"]
