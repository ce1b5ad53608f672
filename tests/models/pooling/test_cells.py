"""Weighted sums of cells against one matrix, and what they read and copy."""

import pytest
import torch

from models.pooling import cells as module
from models.pooling.cells import (
    Axis,
    Entries,
    all_entries,
    cell_table,
    merged,
    places_of,
    ragged_entries,
    runs,
    weighted_sums,
)
from models.pooling.prroi_pool import prroi_pool
from models.pooling.roi_align import roi_align, sampled_axis


def matrix(entries, cells):
    """The weights as one matrix (number of bins, cells)."""
    bins = torch.repeat_interleave(entries.starts.diff())
    weights = torch.zeros(len(entries.starts) - 1, cells, dtype=entries.weights.dtype)
    return weights.index_put((bins, entries.cells), entries.weights, accumulate=True)


def axes(samples, bins=3):
    """Both axes of boxes on a map of 6 x 8 cells: inside, across the border, tiny, inverted,
    outside."""
    start = torch.tensor([0.3, -2.0, 4.0, 5.0, 30.0])
    end = torch.tensor([5.1, 12.0, 4.001, 2.0, 40.0])
    return [
        sampled_axis(start, end, torch.full((5,), length), bins, samples, True) for length in (6, 8)
    ]


def test_runs_on_numbers():
    run, value = runs(torch.tensor([7, 0, 2]), torch.tensor([2, 0, 3]))
    assert run.tolist() == [0, 0, 2, 2, 2]
    assert value.tolist() == [7, 8, 2, 3, 4]


def test_cells_are_counted_level_by_level_and_image_by_image():
    maps = [torch.arange(12.0).view(2, 1, 2, 3), torch.arange(12.0, 14).view(2, 1, 1, 1)]
    table = cell_table(maps)
    assert table.flatten().tolist() == list(range(14))
    places = places_of(maps, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert [each.tolist() for each in places] == [[0, 6, 13], [2, 2, 1], [3, 3, 1]]


@pytest.mark.parametrize("images", [1, 2])
def test_one_map_in_channels_last_memory_is_not_copied(images):
    features = torch.randn(images, 4, 5, 6).contiguous(memory_format=torch.channels_last)
    assert cell_table([features]).data_ptr() == features.data_ptr()
    assert cell_table([features]).is_contiguous()
    assert cell_table([features.contiguous()]).is_contiguous()


@pytest.mark.parametrize("samples", [0, 1, 2, 5])
def test_what_is_left_out_does_not_count(samples):
    first, width = torch.arange(5).view(5, 1, 1).expand(5, 3, 3) * 48, torch.full((5,), 8)
    rows, columns = axes(samples)
    every = all_entries(first, width, rows, columns)
    few = ragged_entries(first, width, merged(rows), merged(columns))
    torch.testing.assert_close(matrix(few, 240), matrix(every, 240))
    assert (few.weights != 0).all()
    bins = torch.repeat_interleave(few.starts.diff())
    pairs = torch.stack([bins, few.cells])
    assert pairs.unique(dim=1).shape == pairs.shape  # each bin reads a cell at most once


@pytest.mark.parametrize("pool", [prroi_pool, roi_align])
def test_a_roi_reads_no_more_than_the_map_and_the_borders_of_its_bins(pool, monkeypatch):
    """All bins share the map, and two cells at each of their borders: memory and time grow with
    the area of the RoIs."""
    counts = []

    def watched(table, entries):
        counts.append(len(entries.cells))
        return weighted_sums(table, entries)

    monkeypatch.setattr(module, "weighted_sums", watched)
    whole = torch.tensor([[0.0, -40, -30, 240, 160]])
    for rois in (1, 10):
        pool(torch.randn(1, 2, 9, 13), whole.expand(rois, 5), 3, 1 / 16)
    assert counts[0] <= (9 + 2 * 3) * (13 + 2 * 3)
    assert counts[1] == 10 * counts[0]


def test_sums_and_both_gradients_are_those_of_the_matrix():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(7, 5, dtype=torch.float64, generator=generator).requires_grad_()
    cells = torch.tensor(
        [0, 6, 3, 3, 0, 5]
    )  # rows 1, 2 and 4 are not read, the second bin is empty
    weights = torch.randn(6, dtype=torch.float64, generator=generator).requires_grad_()
    entries = Entries(cells, weights, torch.tensor([0, 2, 2, 6]))
    upstream = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    found = weighted_sums(table, entries)
    expected = matrix(entries, 7) @ table
    torch.testing.assert_close(found, expected)
    ours, theirs = (
        torch.autograd.grad(sums, (table, weights), upstream) for sums in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)
    (alone,) = torch.autograd.grad(weighted_sums(table.detach(), entries), weights, upstream)
    torch.testing.assert_close(alone, theirs[1])
    assert not weighted_sums(
        table.detach(), entries._replace(weights=weights.detach())
    ).requires_grad


def test_samples_in_one_cell_are_merged():
    axis = Axis(torch.tensor([[[2, 2, 3, 3]]]), torch.tensor([[[0.3, 0.2, 0.2, 0.3]]]))
    found = merged(axis)
    assert found.cells.tolist() == [[[2, 3]]]
    torch.testing.assert_close(found.weights, torch.tensor([[[0.5, 0.5]]]))
