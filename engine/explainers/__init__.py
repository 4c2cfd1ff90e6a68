"""Explainers that ask a language model for a sentence.

``token-activation-pairs`` shows tokens with their activations, ``summary`` shows excerpts
with the firing tokens marked, ``output-aware`` adds what the neuron writes, and a
reviser tries an explanation on texts made against it.
"""
