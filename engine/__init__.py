"""The engine of neuroglass: from text to scored explanations, without a user interface."""

__version__ = "0.1.0"
