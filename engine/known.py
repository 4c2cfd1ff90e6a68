"""What is known of a neuron already: explanations saved here, and those published with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalogue import Catalogue, dataset_of
from engine.errors import UsageError
from engine.explanation import Explanation, Side
from engine.neuron import NeuronId

if TYPE_CHECKING:
    from engine.store import Store, StoredExplanation, StoredSimulation


def explanations_of(
    catalogue: Catalogue, store: Store, neuron: NeuronId
) -> list[StoredExplanation]:
    """A neuron's explanations, best first, unscored ones last.

    Of a published dataset these are its own (with ids below zero), those saved of it, and
    those saved of the same model where that was scanned here.  The neuron must have been
    prepared.
    """
    saved = store.explanations(catalogue.model_id, neuron)
    dataset = dataset_of(catalogue)
    if dataset is None:
        return saved
    found = [*dataset.published(neuron), *saved]
    for model in same_models(catalogue, store):
        found += store.explanations(model, neuron)

    def rank(one: StoredExplanation) -> float:
        value = one.ev_correlation
        return float("inf") if value is None else -value

    return sorted(found, key=rank)


def same_models(catalogue: Catalogue, store: Store) -> list[str]:
    """Hashes of models scanned here whose neurons are those of a published dataset.

    Told by name and size: the dataset doesn't have the weights that a hash needs.
    """
    dataset = dataset_of(catalogue)
    if dataset is None or not dataset.identity.same:
        return []
    size = dataset.n_layers, dataset.n_neurons
    found = {
        facts.model_id: None
        for facts in store.indexes()
        if facts.model_name in dataset.identity.same
        and (facts.n_layers, facts.n_neurons) == size
        and facts.model_id != dataset.model_id
    }
    return list(found)


def scored_records_of(
    catalogue: Catalogue, store: Store, one: StoredExplanation
) -> list[StoredSimulation]:
    """The scored excerpts of an explanation, wherever it is from; none if unscored."""
    dataset = dataset_of(catalogue)
    if one.id < 0:
        return [] if dataset is None else dataset.published_simulations(one.neuron, one.id)
    return store.card(one.id) if one.scores else []


def best_scores_of(catalogue: Catalogue, store: Store, layer: int) -> dict[int, float]:
    """Neuron index to its best score, published or of one's own."""
    found = store.best_scores(catalogue.model_id, layer)
    dataset = dataset_of(catalogue)
    if dataset is not None:
        for index, score in dataset.published_scores(layer).items():
            found[index] = max(score, found.get(index, score))
    return found


def words_of(catalogue: Catalogue | None, neuron: NeuronId, text: str, side: Side) -> Explanation:
    """An explanation in the user's words; a published one, if they are the same.

    Raises:
        UsageError: the text is blank.
    """
    text = " ".join(text.split()).removesuffix(".")
    if not text:
        raise UsageError("An explanation needs at least a word.", "Write what it fires on.")
    dataset = dataset_of(catalogue)
    if dataset is not None and side == "positive":
        for one in dataset.published(neuron):
            if one.text == text:
                return one.explanation
    return Explanation(neuron, text, explainer="human", side=side)
