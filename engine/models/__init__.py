"""Language models: asking one for text, for JSON, or for token log-probabilities.

A :class:`~engine.models.model.LanguageModel` is the one interface; vendors, compatible
servers and local checkpoints implement it, and :mod:`engine.models.metered` puts the
reply cache, retries and the budget in front of any of them.  Nothing here knows of
neurons.
"""
