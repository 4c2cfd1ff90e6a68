"""The map of all neurons: its matrices, its cells, and how they are laid out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from store_samples import carded

from engine.engine import Engine
from engine.errors import IndexFormatError
from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.neuron_map import NeuronMap, Quantity
from engine.paths import write_pointer
from tests.small_index import FOLDER, NEURONS
from tui.map_grid import MapGrid, columns_for, fitting, level_labels


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Engine]:
    write_pointer(tmp_path, FOLDER)
    async with await Engine.open(tmp_path) as engine:
        yield engine


async def save(engine: Engine, neuron: NeuronId, text: str, score: float | None) -> int:
    explanation = Explanation(neuron, text, "human", {}, None, ())
    return await engine.save(explanation, carded(score))


async def test_matrices_are_what_is_known_of_each_neuron(small: Engine) -> None:
    index = small.index
    assert index is not None
    await save(small, NeuronId(1, 3), "one", 0.25)
    await save(small, NeuronId(1, 3), "two", 0.75)
    await save(small, NeuronId(2, 0), "undefined", None)
    gone = await save(small, NeuronId(0, 0), "deleted", 0.5)
    await small.store.delete_explanations([gone])
    maps = {quantity: await small.neuron_map(quantity) for quantity in Quantity}
    for found in maps.values():
        assert found.values.shape == (index.n_layers, NEURONS)
        assert found.values.dtype == np.float32
        assert np.argwhere(found.explained).tolist() == [[1, 3], [2, 0]]
    score, count = maps[Quantity.SCORE].values, maps[Quantity.EXPLANATIONS].values
    assert np.argwhere(~np.isnan(score)).tolist() == [[1, 3]] and score[1, 3] == 0.75
    assert (count[1, 3], count[2, 0], count.sum()) == (2, 1, 3)
    columns = index.layer(2)
    for quantity, values in (
        (Quantity.MAXIMUM, columns.maximum),
        (Quantity.ACTIVE, columns.fraction_active),
        (Quantity.KURTOSIS, columns.kurtosis),
    ):
        np.testing.assert_array_equal(maps[quantity].values[2], values.astype(np.float32))


async def test_without_an_index_there_is_no_map(tmp_path: Path) -> None:
    async with await Engine.open(tmp_path) as engine:
        with pytest.raises(IndexFormatError, match="Nothing has been scanned"):
            await engine.neuron_map(Quantity.SCORE)


matrices = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 23)),
    elements=st.floats(-2, 2, width=32) | st.just(float("nan")),
)


@given(matrices, st.integers(1, 30), st.sampled_from(["max", "mean"]))
def test_a_cell_is_the_maximum_or_mean_of_what_has_a_value(
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]], factor: int, by: str
) -> None:
    found = NeuronMap(Quantity.SCORE, values, np.zeros(values.shape, bool))
    cells = found.cells(factor, by)  # type: ignore[arg-type]
    levels = cells.levels
    assert cells.values.shape == levels.shape == (len(values), -(-values.shape[1] // factor))
    for layer, cell in np.ndindex(*cells.values.shape):
        part = values[layer, cell * factor : (cell + 1) * factor]
        known = part[~np.isnan(part)]
        value = cells.values[layer, cell]
        # Missing and zero are never the same level.
        assert (levels[layer, cell] == 0) == np.isnan(value) == (len(known) == 0)
        if len(known):
            expected = known.max() if by == "max" else known.mean(dtype=np.float64)
            assert value == pytest.approx(expected, rel=1e-6, abs=1e-7)
            best = found.strongest(layer, cell * factor, (cell + 1) * factor)
            assert values[best.layer, best.index] == known.max()


def test_levels_part_what_is_there() -> None:
    values = np.array([[0, 0, *range(1, 71), np.nan]], np.float32)
    found = NeuronMap(Quantity.MAXIMUM, values, np.isfinite(values))
    levels = found.cells().levels[0].tolist()
    assert levels[:2] == [1, 1] and levels[-1] == 0
    assert [levels.count(level) for level in range(2, 9)] == [10] * 7
    scores = NeuronMap(Quantity.SCORE, np.array([[-0.1, 0, 0.5, 1]], np.float32), values > 0)
    assert scores.cells().levels.tolist() == [[1, 2, 5, 8]]
    assert scores.cells().bounds == scores.cells(2, "mean").bounds
    dead = NeuronMap(Quantity.MAXIMUM, np.zeros((1, 3), np.float32), values > 0)
    assert dead.cells().levels.tolist() == [[1, 1, 1]]


def test_the_next_unexplained_neuron_is_found_round_the_end() -> None:
    explained = np.ones((2, 3), bool)
    found = NeuronMap(Quantity.SCORE, np.zeros((2, 3), np.float32), explained)
    assert found.next_unexplained(NeuronId(0, 0)) is None
    explained[0, 1] = explained[1, 2] = False
    assert found.next_unexplained(NeuronId(0, 0)) == NeuronId(0, 1)
    assert found.next_unexplained(NeuronId(0, 1)) == NeuronId(1, 2)
    assert found.next_unexplained(NeuronId(1, 2)) == NeuronId(0, 1)


# ---------------------------------------------------------------- layout

grids = st.builds(
    MapGrid,
    layers=st.integers(1, 50),
    neurons=st.integers(1, 900),
    factor=st.integers(1, 70),
    columns=st.integers(1, 120),
    paired=st.booleans(),
)


@given(grids, st.data())
def test_every_neuron_has_a_place_and_every_place_its_neurons(
    grid: MapGrid, data: st.DataObject
) -> None:
    layer = data.draw(st.integers(0, grid.layers - 1))
    index = data.draw(st.integers(0, grid.neurons - 1))
    row, column = grid.place(NeuronId(layer, index))
    assert 0 <= row < grid.rows and 0 <= column < grid.columns
    assert grid.lines >= grid.rows / 2
    found = grid.at(row, column)
    assert found is not None and found[0] == layer
    first, after = grid.neurons_of(found[1])
    assert first <= index < after <= grid.neurons


@given(grids, st.data())
def test_moving_ends_on_a_neuron_and_moves_the_way_it_says(
    grid: MapGrid, data: st.DataObject
) -> None:
    layer = data.draw(st.integers(0, grid.layers - 1))
    start = NeuronId(layer, data.draw(st.integers(0, grid.neurons - 1)))
    rows = data.draw(st.integers(-40, 40))
    columns = 0 if rows else data.draw(st.integers(-200, 200))
    moved = grid.moved(start, rows, columns)
    assert 0 <= moved.layer < grid.layers and 0 <= moved.index < grid.neurons
    before, after = grid.place(start), grid.place(moved)
    if rows > 0:
        assert after[0] >= before[0]
    elif rows < 0:
        assert after[0] <= before[0]
    else:
        assert moved.layer == layer
        assert (moved.index // grid.factor - start.index // grid.factor) * columns >= 0


def test_a_large_model_fits_and_zooms() -> None:
    for layers, neurons, width, lines in (
        (48, 6400, 112, 32),
        (48, 6400, 72, 16),
        (12, 3072, 112, 32),
        (6, 12, 112, 32),
        (96, 6400, 50, 10),
    ):
        for paired in (True, False):
            factor = fitting(layers, neurons, width, lines, paired=paired)
            columns = columns_for(neurons, factor, width)
            grid = MapGrid(layers, neurons, factor, columns, paired)
            assert columns <= width
            assert grid.lines <= lines or grid.rows_per_layer == 1
            if factor > 1:  # the next closer zoom would not fit
                closer = columns_for(neurons, factor // 2, width)
                assert MapGrid(layers, neurons, factor // 2, closer, paired).lines > lines
    assert fitting(6, 12, 112, 32) == 1
    assert columns_for(3072, 1, 112) == 96  # every row of a layer is full


def test_a_legend_is_short() -> None:
    assert level_labels((0.0, 0.15, 0.3, 1.25, 12.5, 123.4, 9e5)) == [
        "<0",
        "0",
        "0.15",
        "0.3",
        "1.2",
        "12.5",
        "123",
        "900000",
    ]
    assert level_labels((1e-45, 2.0))[:2] == ["≤0", ">0"]
