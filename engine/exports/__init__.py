"""Results on their way out: tables, a dataset to publish, other programs' forms."""

from engine.exports.exports import Exported, Exports
from engine.exports.tables import TABLES

__all__ = ["TABLES", "Exported", "Exports"]
