"""How to explain, simulate and score: chosen once, then remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from engine.errors import UsageError
from engine.explanation import Explanation, Side

#: Names, and whether each needs a language model.
EXPLAINERS: Mapping[str, bool] = {
    "token-lookup": False,
    "patterns": False,
    "senses": False,
    "token-activation-pairs": True,
    "summary": True,
    "output-aware": True,
}
SIMULATORS: Mapping[str, bool] = {
    "token-lookup": False,
    "patterns": False,
    "senses": False,
    "all-at-once": True,
    "one-token": True,
    "json": True,
}
#: Simulators that read an explainer's rules, and what those are.
RULES: Mapping[str, str] = {
    "token-lookup": "tables",
    "patterns": "patterns",
    "senses": "senses",
}
#: Besides the ev correlation, which is always computed.
SCORERS: Mapping[str, bool] = {
    "detection": True,
    "fuzzing": True,
    "generation": True,
    "ablation": False,
}
CALIBRATIONS = ("none", "linear", "percentile")
SPLITS = ("valid", "test", "calibration")


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens, in the user's own currency."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything a user chooses about the method.

    A model is named ``PROVIDER:MODEL`` (``anthropic:NAME``, ``openai:NAME``, a preset's
    name, ``local:CHECKPOINT``) or ``BASE_URL#MODEL`` for any compatible server.

    Attributes:
        explainer_model, simulator_model, scorer_model: Empty where none is needed; an
            empty simulator or scorer model falls back on the explainer's.
        by_sense: An explainer that asks a language model is asked for each sense of the
            neuron by itself (:mod:`engine.senses`); others take no notice.
        scorers: Further scorers, of :data:`SCORERS`.
        samples: Explanations to draw; the best on valid is kept and reported on test.
        revisions: Rounds of counter-examples after that.
        chance: Score another neuron's explanation on the same records beside it.
        budget_tokens, budget_money: Stop before they are passed; None: no limit.
        prices: By model name as above.
    """

    explainer: str = "token-lookup"
    explainer_model: str = ""
    by_sense: bool = False
    simulator: str = "token-lookup"
    simulator_model: str = ""
    scorers: tuple[str, ...] = ()
    scorer_model: str = ""
    samples: int = 1
    revisions: int = 0
    side: Side = "positive"
    calibration: str = "none"
    split: str = "valid"
    chance: bool = True
    budget_tokens: int | None = None
    budget_money: float | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)

    def check(self) -> None:
        """UsageError when the choices can't be carried out together."""
        _known("explainer", self.explainer, tuple(EXPLAINERS))
        _known("simulator", self.simulator, tuple(SIMULATORS))
        _known("calibration", self.calibration, CALIBRATIONS)
        _known("split", self.split, SPLITS)
        for scorer in self.scorers:
            _known("scorer", scorer, tuple(SCORERS))
        if not 1 <= self.samples <= 100:
            raise UsageError(f"Can't draw {self.samples} samples.", "Draw 1 to 100.")
        if not 0 <= self.revisions <= 10:
            raise UsageError(f"Can't revise {self.revisions} times.", "Revise 0 to 10 times.")
        if self.simulator in RULES and self.explainer != self.simulator:
            raise UsageError(
                f"The {self.simulator} simulator reads {RULES[self.simulator]}, not sentences.",
                f"Choose the {self.simulator} explainer, or another simulator: all-at-once, "
                "one-token or json.",
            )
        from engine.models.connect import parse_ref

        for what, name in self.models_needed().items():
            if name:
                parse_ref(name)
            else:
                raise UsageError(
                    f"The {what} needs a language model.",
                    "Name one as PROVIDER:MODEL; `neuroglass models` lists the providers.",
                )

    def for_scoring(self, explanation: Explanation) -> Choices:
        """These choices where the explanation exists already.

        Raises:
            UsageError: the simulator can't read it.
        """
        kind = (explanation.rules or {}).get("kind")
        if self.simulator in RULES and kind != self.simulator:
            raise UsageError(
                f"The {self.simulator} simulator reads {RULES[self.simulator]}, not sentences.",
                "Choose another simulator: all-at-once, one-token or json.",
            )
        return replace(
            self,
            explainer=self.simulator if self.simulator in RULES else "token-lookup",
            simulator_model=self.simulator_model or self.explainer_model,
            scorer_model=self.scorer_model or self.explainer_model,
            samples=1,
            revisions=0,
            side=explanation.side,
        )

    def models_needed(self) -> dict[str, str]:
        """The model of each part that needs one, by ``explainer``, ``simulator``, ``scorer``."""
        needed = {}
        fallback = self.explainer_model
        if EXPLAINERS[self.explainer] or self.revisions:
            needed["explainer"] = fallback
        if SIMULATORS[self.simulator]:
            needed["simulator"] = self.simulator_model or fallback
        if any(SCORERS[scorer] for scorer in self.scorers):
            needed["scorer"] = self.scorer_model or fallback
        return needed

    @property
    def needs_senses(self) -> bool:
        """Whether the senses of the neuron are found before it is explained."""
        return self.explainer == "senses" or (self.by_sense and EXPLAINERS[self.explainer])

    @property
    def selects(self) -> bool:
        """Whether candidates are chosen among on valid, so that only test may report."""
        return self.samples > 1 or self.revisions > 0

    def to_json(self) -> dict[str, Any]:
        """JSON values, which :meth:`from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Choices:
        """Read what :meth:`to_json` wrote; what a later version added is ignored."""
        names = {one.name for one in fields(cls)}
        known = {name: value for name, value in facts.items() if name in names}
        known["scorers"] = tuple(known.get("scorers", ()))
        known["prices"] = {k: Price(**v) for k, v in known.get("prices", {}).items()}
        return cls(**known)


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise UsageError(f"There is no {what} {name!r}.", f"Choose one of {', '.join(names)}.")
