"""How many things make a neuron fire, and which of them each strong token is.

Strong activations are clustered by what they need: the tokens around, weighted by what
the neuron loses without them, and what it takes from the hidden state.  Each group then
has a prototype of each place of the context, and predicts activations from how alike a
token's text is to it; the highest prediction of any group counts.  A single prototype
predicts a neuron well that fires on one kind of thing, however many tokens are of that
kind, and badly one that fires on several.  The number of groups is the smallest that
predicts documents left out as well as any other, within the error of that comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.senses.material import PLACES, Floats, Likeness, Material, unit
from engine.senses.occlusion import Occlusion

#: Groups at most.
MOST = 6
FOLDS = 5
#: A token is strong from this share of the strongest ten windows' mean maximum.
STRONG = 0.3
#: Strong activations that are clustered; the first so many are the strongest.
FIRINGS, STRONGEST = 48, 24
#: Fewer are one group.
FEWEST = 12
#: What the hidden state counts beside the text.
HIDDEN = 0.7
#: Strong tokens and others that predictions are compared on.
EVALUATED = (3000, 8000)
#: More groups must also take away this share of the error that is left, and add this much.
CLEARLY, AT_LEAST = 0.1, 0.02
#: A group must hold this share of the activation.
SMALLEST = 0.02


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How well some number of groups predicts documents that were left out.

    Attributes:
        groups: Asked for.
        r2: 1 less the squared error over the variance, mean of the folds, each 0 at least.
        error: Standard error over the folds of the difference from one group; 0 for one.
    """

    groups: int
    r2: float
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The groups of one neuron.

    Attributes:
        firings: int64 [n], tokens of the material that were clustered.
        labels: int64 [n], the group of each.
        strong: int64 [m], all strong tokens.
        members: int64 [m], the group of each. Groups are ordered by their activation.
        held_out: For each number of groups that was tried.
    """

    firings: NDArray[np.int64]
    labels: NDArray[np.int64]
    strong: NDArray[np.int64]
    members: NDArray[np.int64]
    held_out: tuple[HeldOut, ...]

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.members.max(initial=0)) + 1


@dataclass(frozen=True, slots=True, eq=False)
class _Prototype:
    """What one group is like.

    Attributes:
        places: float32 [PLACES, D], weighted by what the neuron loses without them.
        context: float32 [D], the same for the context token that matters most.
        parts: float32 [width], of length one.
        needs: float32 [PLACES], the weights alone.
    """

    places: Floats
    context: Floats
    parts: Floats
    needs: Floats


def firings_of(material: Material, rng: np.random.Generator) -> NDArray[np.int64]:
    """Strong activations to look at closely: the strongest windows' peaks, and some others."""
    peaks = material.peaks()
    strong = peaks[material.activations[peaks] >= threshold(material)]
    rest = strong[STRONGEST:]
    drawn = rng.choice(len(rest), min(FIRINGS - STRONGEST, len(rest)), replace=False)
    return np.concatenate([strong[:STRONGEST], rest[np.sort(drawn)]])


def threshold(material: Material) -> float:
    """From which activation on a token is strong; infinite if the neuron never fires."""
    top = float(material.activations[material.peaks()[:10]].mean())
    return STRONG * top if top > 0 else float("inf")


def find_groups(
    material: Material,
    firings: NDArray[np.int64],
    occlusion: Occlusion,
    rng: np.random.Generator,
    go_on: Callable[[], None] = lambda: None,
) -> Grouping:
    """Group a neuron's strong tokens.

    Args:
        firings: int64 [n], those that were occluded; at least one.
        go_on: Called between steps; may raise to end it.
    """
    strong = np.flatnonzero(material.activations >= threshold(material))
    fitter = _Fitter(material, firings, occlusion)
    held_out: tuple[HeldOut, ...] = ()
    number = 1
    if len(firings) >= FEWEST:
        table = _cross_validated(material, fitter, strong, rng, go_on)
        if table is not None:
            number = _smallest(table)
            held_out = tuple(_row(table, k) for k in range(1, table.shape[1] + 1))
    prototypes, labels = fitter.fit(np.arange(len(firings)), strong, number)
    members = fitter.nearest(prototypes, strong)
    mass = np.bincount(members, material.activations[strong], minlength=len(prototypes))
    kept = [g for g in np.argsort(-mass).tolist() if mass[g] >= SMALLEST * mass.sum()]
    if len(kept) < len(prototypes):
        prototypes = [prototypes[g] for g in kept]
        members = fitter.nearest(prototypes, strong)
        labels = fitter.nearest(prototypes, firings)
    else:
        renamed = np.argsort(np.array(kept))
        members, labels = renamed[members], renamed[labels]
    return Grouping(firings, labels, strong, members, held_out)


def _row(table: NDArray[np.float64], groups: int) -> HeldOut:
    difference = table[:, groups - 1] - table[:, 0]
    error = float(difference.std(ddof=1) / np.sqrt(len(table)))
    return HeldOut(groups, float(table[:, groups - 1].mean()), error)


def _smallest(table: NDArray[np.float64]) -> int:
    """The smallest number that no other clearly beats, from scores [folds, numbers]."""
    for few in range(table.shape[1]):
        gains = table[:, few + 1 :] - table[:, few : few + 1]
        error = gains.std(axis=0, ddof=1) / np.sqrt(len(table))
        left = max(1 - float(table[:, few].mean()), 0.0)
        needed = np.maximum(error, max(CLEARLY * left, AT_LEAST))
        if not (gains.mean(axis=0) > needed).any():
            return few + 1
    return int(table.shape[1])


def _cross_validated(
    material: Material,
    fitter: _Fitter,
    strong: NDArray[np.int64],
    rng: np.random.Generator,
    go_on: Callable[[], None],
) -> NDArray[np.float64] | None:
    """1 - squared error over variance, float64 [folds, numbers of groups]; None if there
    are too few documents."""
    documents = np.unique(material.documents[fitter.firings])
    if len(documents) < FOLDS:
        return None
    every = np.unique(material.documents)
    fold_of = np.zeros(int(every.max()) + 1, dtype=np.int64)
    # Those with firings are dealt evenly; the others follow.
    others = np.setdiff1d(every, documents)
    dealt = np.concatenate([rng.permutation(documents), rng.permutation(others)])
    fold_of[dealt] = np.arange(len(dealt)) % FOLDS
    few, many = EVALUATED
    some = rng.choice(len(strong), min(few, len(strong)), replace=False)
    drawn = rng.choice(len(material.ids), min(many, len(material.ids)), replace=False)
    tokens = np.union1d(strong[some], drawn)
    likeness = Likeness(material, tokens)
    fold = fold_of[material.documents[tokens]]
    firing_fold = fold_of[material.documents[fitter.firings]]
    is_strong = np.isin(tokens, strong)
    real = material.activations[tokens]
    most = min(MOST, len(fitter.firings) // 4)
    table = np.zeros((FOLDS, most))
    for left_out in range(FOLDS):
        go_on()
        train = fold != left_out
        kept = np.flatnonzero(firing_fold != left_out)
        own = tokens[train & is_strong]
        variance = float(((real[~train] - real[train].mean()) ** 2).sum())
        if not len(own) or not variance > 0:
            return None
        for number in range(1, most + 1):
            prototypes, _ = fitter.fit(kept, own, number)
            member = np.full(len(tokens), -1)
            member[train & is_strong] = fitter.nearest(prototypes, own)
            expected = np.full(int((~train).sum()), -np.inf, dtype=np.float32)
            for group, one in enumerate(prototypes):
                score = likeness.score(one.places, one.context)
                # Other groups' strong tokens say nothing about this one's curve.
                used = train & ((member < 0) | (member == group))
                sums, means = _rising(score[used], real[used])
                expected = np.maximum(expected, np.interp(score[~train], sums, means))
            error = float(((expected - real[~train]) ** 2).sum())
            # Worse than the mean is as good as nothing.
            table[left_out, number - 1] = max(1 - error / variance, 0.0)
    return table


def _rising(score: Floats, real: Floats) -> tuple[Floats, Floats]:
    """The rising function of a score that is nearest to some activations, at its points."""
    from scipy.optimize import isotonic_regression

    points, place, counts = np.unique(np.round(score, 3), return_inverse=True, return_counts=True)
    means = np.bincount(place, real) / counts
    return points, isotonic_regression(means, weights=counts).x


class _Fitter:
    """Fits prototypes to some of the firings, for any number of groups."""

    def __init__(
        self, material: Material, firings: NDArray[np.int64], occlusion: Occlusion
    ) -> None:
        self.firings = firings
        self._material = material
        losses, before = occlusion.losses[:, :PLACES].copy(), occlusion.before
        # A place counts as such as far as what is needed before stands there, always.
        fixed = losses[:, 1:].mean(0) / max(float(before.mean()), 1e-9)
        losses[:, 1:] *= fixed**2
        self._needs = np.concatenate([losses, before[:, None]], axis=1)
        self._context = self._contexts(occlusion)
        self._parts = unit(material.parts[firings])
        places = [self._at(firings, place) for place in range(PLACES)]
        text = [self._needs[:, [place]] * rows for place, rows in enumerate(places)]
        self._vectors = np.concatenate([*text, self._context, HIDDEN * self._parts], axis=1)

    def _at(self, tokens: NDArray[np.int64], place: int) -> Floats:
        """Embeddings of what stands at a place; zero before the window's start."""
        ids = self._material.before(tokens, place)
        rows = self._material.embeddings[np.maximum(ids, 0)]
        return np.where(ids[:, None] >= 0, rows, np.float32(0))

    def _contexts(self, occlusion: Occlusion) -> Floats:
        """The tokens before each firing, by the square of what it loses without them."""
        material = self._material
        total = np.zeros((len(self.firings), material.embeddings.shape[1]), dtype=np.float32)
        for offset in range(1, occlusion.losses.shape[1]):
            ids = material.before(self.firings, offset)
            weight = np.where(ids >= 0, occlusion.losses[:, offset] ** 2, np.float32(0))
            total += weight[:, None] * material.embeddings[np.maximum(ids, 0)]
        return unit(total) * occlusion.before[:, None]

    def fit(
        self, rows: NDArray[np.int64], strong: NDArray[np.int64], number: int
    ) -> tuple[list[_Prototype], NDArray[np.int64]]:
        """Prototypes of so many groups, or fewer, and the group of each firing used.

        Args:
            rows: int64, which firings.
            strong: int64, tokens that may belong to the groups.
        """
        labels = self._clustered(rows, number)
        prototypes = []
        for group in range(int(labels.max()) + 1):
            own = rows[labels == group]
            prototypes.append(self._prototype(self._needs[own].mean(0), self.firings[own], own))
        # Strong tokens are many more than firings: they say better what a group is like.
        members = self.nearest(prototypes, strong)
        for group, one in enumerate(prototypes):
            tokens = strong[members == group]
            if len(tokens) > 1:
                needs = np.append(one.needs, np.float32(np.linalg.norm(one.context)))
                prototypes[group] = self._prototype(needs, tokens, rows[labels == group])
        return prototypes, labels

    def nearest(self, prototypes: list[_Prototype], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """The group of each token, int64 [n]."""
        if len(prototypes) == 1:
            return np.zeros(len(tokens), dtype=np.int64)
        likeness = Likeness(self._material, tokens)
        parts = unit(self._material.parts[tokens])
        scores = []
        for one in prototypes:
            size = np.sqrt(float((one.places**2).sum() + (one.context**2).sum())) + 1e-9
            text = likeness.score(one.places, one.context) / size
            scores.append(text + HIDDEN * (parts @ one.parts))
        found: NDArray[np.int64] = np.argmax(scores, axis=0)
        return found

    def _clustered(self, rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        if number == 1 or len(rows) < 2:
            return np.zeros(len(rows), dtype=np.int64)
        from scipy.cluster.hierarchy import fcluster, linkage

        tree = linkage(self._vectors[rows], "ward")
        labels = fcluster(tree, number, "maxclust")
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)

    def _prototype(
        self, needs: Floats, tokens: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> _Prototype:
        weights = self._material.activations[tokens]
        weights = weights / max(float(weights.sum()), 1e-9)
        places = np.stack(
            [needs[place] * (weights @ self._at(tokens, place)) for place in range(PLACES)]
        )
        context = self._context[rows].mean(0)
        parts = unit((weights @ unit(self._material.parts[tokens]))[None])[0]
        return _Prototype(places, context, parts, needs[:PLACES])
