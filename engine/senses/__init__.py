"""Polysemy: the several things that make one neuron fire, each with an explanation of its own."""
