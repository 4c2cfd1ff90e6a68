"""Reports to send to a colleague: one HTML file each, which asks nothing of the network."""

from engine.reports.reports import Reports

__all__ = ["Reports"]
