"""The engine of neuroglass: from text to scored explanations, without a user interface."""

import os

__version__ = "0.1.0"

# Threads that spin at every barrier starve each other as soon as anything else runs:
# with one other busy process, a forward pass on two cores took five times as long as
# with threads that wait. OpenMP reads this once, when torch loads, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
