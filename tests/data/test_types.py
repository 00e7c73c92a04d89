"""Fields, Samples, Snapshots, Graphs and Labelled: what they hold, and the one sentence for what they refuse."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from pathline.data import Fields, Graphs, Labelled, Samples, Snapshots
from pathline.errors import InputError

RNG = np.random.default_rng(0)


def test_fields_keep_precision_and_name_what_is_unnamed():
    values = RNG.normal(size=(2, 3, 2, 4, 5)).astype(np.float32)
    fields = Fields(values, [0, 0.5, 2], [np.arange(4), np.arange(5)[::-1]], units=["m/s", "K"])
    assert len(fields) == 2 and fields.space == (4, 5)
    assert fields.values.dtype == np.float32 and fields.times.dtype == np.float64
    assert fields.names == ("u1", "u2") and fields.axes == ("space1", "space2") and fields.units == ("m/s", "K")
    np.testing.assert_array_equal(fields.coordinates[1], [4, 3, 2, 1, 0])
    without_space = Fields(np.zeros((1, 4, 1)))
    assert without_space.space == () and without_space.names == ("u",)
    assert replace(fields, title="flow").title == "flow"


def test_types_are_pytrees_of_their_arrays():
    samples = Samples([[1, 2], [3, 4]], [0, 1], classes=["rest", "walk"])
    doubled = jax.tree.map(lambda leaf: 2 * leaf, samples)
    np.testing.assert_array_equal(doubled.values, [[2, 4], [6, 8]])
    assert doubled.classes == ("rest", "walk") and samples.shape == (2,) and len(samples) == 2
    assert Samples([[1.0]]).labels is None


def test_snapshots_of_different_sizes():
    snapshots = Snapshots([RNG.normal(size=(5, 2)), RNG.normal(size=(3, 2))], [0, 1.5], names=["gene1", "gene2"])
    assert len(snapshots) == 2 and snapshots.dim == 2
    assert [len(population) for population in snapshots.populations] == [5, 3]


def test_graphs_laid_end_to_end():
    graphs = Graphs(
        np.eye(5), [0, 1, 3, 4], [1, 2, 4, 3], edges=np.ones((4, 1)), n_node=[3, 2], n_edge=[2, 2], targets=[0.0, 1.0]
    )
    assert len(graphs) == 2
    assert len(Graphs(np.eye(3), [], [])) == 1
    assert Graphs(np.eye(3), [0], [1]).edges.shape == (1, 0)


def test_labelled_padding_becomes_zero():
    sequences = RNG.normal(size=(2, 4, 3))
    sequences[0, 2:] = np.nan
    labelled = Labelled(sequences, [1, 0], [2, 4])
    assert not labelled.sequences[0, 2:].any()
    np.testing.assert_array_equal(labelled.sequences[0, :2], sequences[0, :2])
    np.testing.assert_array_equal(labelled.mask.sum(1), [2, 4])
    assert labelled.classes == ("0", "1") and labelled.names == ("x1", "x2", "x3")


GRID = np.zeros((1, 2, 1, 3))
REFUSED = {
    "shape [trajectory, time, channel": lambda: Fields(np.zeros((2, 3))),
    "not a number or NaN": lambda: Fields(np.full((1, 1, 1), np.inf)),
    "3 times for 2 steps": lambda: Fields(GRID, [0, 1, 2]),
    "does not come after": lambda: Fields(GRID, [1, 1]),
    "coordinates for 2 axes": lambda: Fields(GRID, coordinates=[[0, 1, 2], [0]]),
    "must rise or fall": lambda: Fields(GRID, coordinates=[[0, 2, 1]]),
    "2 coordinates along 'Lat'": lambda: Fields(GRID, coordinates=[[0, 2]], axes=["Lat"]),
    "2 names of channels for 1": lambda: Fields(GRID, names=["a", "b"]),
    "2 units for 1": lambda: Fields(GRID, units=["m", "s"]),
    "Two channels are called 'a'": lambda: Fields(np.zeros((1, 2, 2)), names=["a", "a"]),
    "different lengths": lambda: Samples([[1, 2], [3]]),
    "real numbers": lambda: Samples(["a", "b"]),
    "complex": lambda: Samples([1j]),
    "[0, 3]": lambda: Samples(np.zeros((0, 3))),
    "not a finite number": lambda: Samples([np.nan]),
    "1 labels for 2": lambda: Samples([1, 2], [0]),
    "whole numbers": lambda: Samples([1, 2], [0.5, 1]),
    "from 0 to 1; there is 2": lambda: Samples([1, 2], [0, 2], classes=["a", "b"]),
    "there is -1": lambda: Samples([1, 2], [0, -1]),
    "too large for a class": lambda: Samples([1, 2], [0, 10**9]),
    "no labels": lambda: Samples([1, 2], classes=["a"]),
    "at least one population": lambda: Snapshots([]),
    "Population 2 has 3 columns": lambda: Snapshots([np.ones((2, 2)), np.ones((2, 3))]),
    "values of population 2": lambda: Snapshots([np.ones((2, 2)), np.ones((0, 2))]),
    "1 times for 2 populations": lambda: Snapshots([np.ones((2, 2))] * 2, [0]),
    "0 to 2; there is 3": lambda: Graphs(np.eye(3), [0], [3]),
    "1 senders and 2 receivers": lambda: Graphs(np.eye(3), [0], [1, 2]),
    "said to have 2 nodes": lambda: Graphs(np.eye(3), [0], [1], n_node=[2]),
    "counts 2 graphs": lambda: Graphs(np.eye(3), [0], [1], n_node=[2, 1]),
    "Edge 0 of graph 0 ends at node 2": lambda: Graphs(np.eye(3), [0], [2], n_node=[2, 1], n_edge=[1, 0]),
    "features for 2 edges": lambda: Graphs(np.eye(3), [0], [2], edges=np.ones((2, 1))),
    "2 targets for 1 graphs": lambda: Graphs(np.eye(3), [0], [2], targets=[1, 2]),
    "[sequence, time, channel]": lambda: Labelled(np.ones((2, 3)), [0, 1], [3, 3]),
    "lengths of at least 1": lambda: Labelled(np.ones((2, 3, 1)), [0, 1], [3, 0]),
    "from 0 to 3; there is 4": lambda: Labelled(np.ones((2, 3, 1)), [0, 1], [3, 4]),
    "sequences must be real": lambda: Labelled([[["a"]]], [0], [1]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_are_one_sentence(message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        REFUSED[message]()
    assert "\n" not in str(caught.value)
