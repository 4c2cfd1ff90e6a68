"""Scorers that need no simulated activations, and one that acts on the model.

``detection`` and ``fuzzing`` ask a language model to tell texts apart by an explanation;
``generation`` has it write texts and the subject model says whether they fire;
``ablation`` puts the simulated neuron in the real one's place.  Each number stands by
itself: they measure different things and are never averaged.
"""
