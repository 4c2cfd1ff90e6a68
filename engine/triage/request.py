"""Which neurons to triage, and how to explain them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.choices import Choices, Price
from engine.errors import UsageError
from engine.index import Index
from engine.neuron import NeuronId


def can_batch(choices: Choices) -> bool:
    """Whether a run of these choices can go through batch APIs, by its models' names."""
    from engine.models.connect import LOCAL
    from engine.models.presets import PRESETS

    providers = {name.partition(":")[0] for name in choices.models_needed().values()} - {LOCAL}
    kinds = {PRESETS[name].kind if name in PRESETS else "compatible" for name in providers}
    return bool(kinds) and "compatible" not in kinds


@dataclass(frozen=True, slots=True)
class TriageRequest:
    """What one run is to explain.

    Attributes:
        layers, neurons: Together what is chosen from; both empty: the whole model.
        random: Draw so many of them; None takes all.
        seed: Of the draw.
        choices: How to explain and score; the budget is of the whole run.
        offline: Send nothing; language models answer from the reply cache alone.
        batch: Ask through the vendors' batch APIs, at half the price: the run ends where
            it has to wait for them, and goes on when it is resumed.
    """

    layers: tuple[int, ...] = ()
    neurons: tuple[NeuronId, ...] = ()
    random: int | None = None
    seed: int = 0
    choices: Choices = field(default_factory=Choices)
    offline: bool = False
    batch: bool = False

    def check(self) -> None:
        """Raises UsageError where it can't be carried out."""
        self.choices.check()
        if not self.batch:
            return
        if self.offline:
            raise UsageError(
                "A batch can't be sent offline.", "Choose --batch or --offline, not both."
            )
        from engine.models.connect import LOCAL

        if all(name.startswith(f"{LOCAL}:") for name in self.choices.models_needed().values()):
            raise UsageError(
                "A batch needs a language model of a vendor, and these choices ask none.",
                "Run it without --batch, or name a model with --model openai:MODEL.",
            )

    @property
    def priced(self) -> Choices:
        """The choices, with the prices that the run pays."""
        if not self.batch:
            return self.choices
        from engine.models.batch_api import PRICE_SHARE

        prices = {
            name: Price(one.input * PRICE_SHARE, one.output * PRICE_SHARE)
            for name, one in self.choices.prices.items()
        }
        return replace(self.choices, prices=prices)

    def chosen(self, index: Index) -> list[NeuronId]:
        """The neurons, by layer and index: what reads a whole layer at once is quick then.

        Raises:
            UsageError: a neuron or layer that the model has not, or nothing to draw.
        """
        for layer in self.layers:
            if not 0 <= layer < index.n_layers:
                raise UsageError(
                    f"There is no layer {layer} in {index.model_name}.",
                    f"Layers are 0 to {index.n_layers - 1}.",
                )
        for neuron in self.neurons:
            index.check(neuron)
        whole = not (self.layers or self.neurons)
        layers = range(index.n_layers) if whole else self.layers
        found = {NeuronId(layer, i) for layer in layers for i in range(index.n_neurons)}
        found |= set(self.neurons)
        ordered = sorted(found)
        if self.random is None:
            return ordered
        if self.random < 1:
            raise UsageError(f"Can't draw {self.random} neurons.", "Draw one or more.")
        import numpy as np

        rng = np.random.default_rng(self.seed)
        count = min(self.random, len(ordered))
        return [ordered[i] for i in sorted(rng.choice(len(ordered), count, replace=False))]

    @property
    def scope(self) -> str:
        """What is chosen, for people: ``layer 3``, ``200 random neurons of layer 3``."""
        parts = []
        if self.layers:
            several = "layer" if len(self.layers) == 1 else "layers"
            parts.append(f"{several} {', '.join(map(str, self.layers))}")
        if len(self.neurons) == 1:
            parts.append(f"neuron {self.neurons[0]}")
        elif self.neurons:
            parts.append(f"{len(self.neurons):,} neurons")
        what = " and ".join(parts) or "the whole model"
        if self.random is None:
            return what
        few = "1 random neuron" if self.random == 1 else f"{self.random:,} random neurons"
        return f"{few} of {what}, seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """JSON values, which :meth:`from_json` reads."""
        return {
            "layers": list(self.layers),
            "neurons": [str(neuron) for neuron in self.neurons],
            "random": self.random,
            "seed": self.seed,
            "choices": self.choices.to_json(),
            "offline": self.offline,
            "batch": self.batch,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> TriageRequest:
        """Read what :meth:`to_json` wrote, which may come from a file.

        Raises:
            UsageError: it is none.
        """
        try:
            return cls(
                layers=tuple(int(layer) for layer in facts["layers"]),
                neurons=tuple(NeuronId.parse(text) for text in facts["neurons"]),
                random=None if facts["random"] is None else int(facts["random"]),
                seed=int(facts["seed"]),
                choices=Choices.from_json(facts["choices"]),
                offline=bool(facts["offline"]),
                batch=bool(facts.get("batch", False)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError("The triage's request is damaged.", "Start another one.") from error
