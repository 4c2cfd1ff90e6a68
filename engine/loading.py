"""Networks are loaded one at a time.

While transformers loads, it patches torch for the whole process (weights without data, no
initialisation), and two threads that load side by side can end up with empty weights, or
with a module half imported.
"""

from __future__ import annotations

import threading

#: Held while transformers loads a network, wherever in the process.
LOADING = threading.Lock()
