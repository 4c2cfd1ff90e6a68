"""Explaining a neuron by patterns of context, without any language model."""
