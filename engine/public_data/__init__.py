"""Published neuron datasets in OpenAI's formats: read, shown, scored again, and written.

Bills et al. 2023 published what they found out about every MLP neuron of GPT-2 XL, and
later of GPT-2 small: excerpts with activations, explanations with simulations and scores,
related tokens and neurons.  Here such files are read wherever they lie
(:mod:`.origins`, :mod:`.web`), become what the rest of the program works on
(:mod:`.dataset`), and are written from one's own index and store (:mod:`.export`).
"""
