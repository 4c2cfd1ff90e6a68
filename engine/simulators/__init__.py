"""Simulators that ask a language model (method: Bills et al. 2023, 1.7).

Three ways to read activations off a model that was told what a neuron does: from the
distributions it has over a given text (:mod:`.all_at_once`), from the first token of one
reply per token (:mod:`.one_token`), and from a JSON reply (:mod:`.compact_json`).  What
none of them could read is missing, never zero.  :mod:`.calibrated` puts any simulator's
values into the neuron's own units.
"""
