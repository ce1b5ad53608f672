"""Pooling as weighted sums of cells, the one way in which all RoIs are pooled here.

A cell is one place of a feature map with its C numbers, a row of the table of all cells of all
maps. An output bin is a weighted sum of a few rows, and its weights are separable: the weight of a
cell is that of its row of the map times that of its column. ``embedding_bag`` computes such sums
without an intermediate copy of the rows. The gradient of the table is a sum of the same kind: each
cell sums the gradients of the bins that read it.

Letters: N images, R RoIs, C channels, L levels, M cells in the table, B x B output bins, T cells
that a bin reads along one axis (some of them with weight 0), E pairs of a bin and a cell that it
reads.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F


class Axis(NamedTuple):
    """What the bins of each RoI read along one axis."""

    cells: Tensor  # (R, B, T) integers, from 0 at the border of the map
    weights: Tensor  # (R, B, T)
    # (R, B, T) which of them count; None: those of another weight than 0
    counted: Tensor | None = None


class Entries(NamedTuple):
    """Which cells the bins sum, bin after bin."""

    cells: Tensor  # (E,) rows of the table
    weights: Tensor  # (E,)
    starts: Tensor  # (number of bins + 1,) where each bin begins, and E


class Places(NamedTuple):
    """Where the map of each RoI lies in the table; each (R,)."""

    first: Tensor  # the row of the map's first cell
    height: Tensor  # cells
    width: Tensor  # cells


def cell_table(maps: Sequence[Tensor]) -> Tensor:
    """The cells (M, C) of maps (N, C, H_l, W_l): level after level, image after image, row by row.

    It is a view of a single map in channels-last memory, and otherwise a copy.
    """
    tables = [level.permute(0, 2, 3, 1).flatten(0, 2).contiguous() for level in maps]
    return tables[0] if len(tables) == 1 else torch.cat(tables)


def places_of(maps: Sequence[Tensor], level: Tensor, image: Tensor) -> Places:
    """Where the map of each RoI lies in ``cell_table(maps)``.

    Args:
        maps: (N, C, H_l, W_l) of each level.
        level, image: (R,) indices of the map that a RoI is pooled from.
    """
    sizes, start = [], 0
    for each in maps:
        sizes.append((start, *each.shape[-2:]))
        start += each[:, 0].numel()
    table = torch.tensor(sizes).to(level.device, non_blocking=True)
    first, height, width = table[level].unbind(-1)
    return Places(first + image * height * width, height, width)


def on_cpu(values: Tensor) -> bool:
    """Whether waiting for the host costs nothing."""
    return values.device.type == "cpu"


def pooled_cells(
    table: Tensor, first: Tensor, width: Tensor, rows: Axis, columns: Axis, *, ragged: bool
) -> Tensor:
    """For each bin the sum over its cells of row weight * column weight * cell: (R, B, B, C).

    Args:
        table: (M, C).
        first: (R, 1, 1) or (R, B, B), the row of the table where the map of a bin begins.
        width: (R,) of that map, in cells.
        rows, columns: what the bins read; differentiable in the weights.
        ragged: True leaves out the cells that do not count, for which it waits for the host; False
            does not wait.
    """
    r, b, _ = rows.cells.shape
    first = first.expand(r, b, b)
    entries = (ragged_entries if ragged else all_entries)(first, width, rows, columns)
    return weighted_sums(table, entries).view(r, b, b, table.shape[1])


def all_entries(first: Tensor, width: Tensor, rows: Axis, columns: Axis) -> Entries:
    """All T x T cells of each bin, those of weight 0 included."""
    lines = first[..., None, None] + rows.cells[:, :, None, :, None] * width.view(-1, 1, 1, 1, 1)
    cells = lines + columns.cells[:, None, :, None, :]
    weights = rows.weights[:, :, None, :, None] * columns.weights[:, None, :, None, :]
    each = rows.cells.shape[-1] * columns.cells.shape[-1]
    starts = torch.arange(first.numel() + 1, device=cells.device) * each
    return Entries(cells.reshape(-1), weights.reshape(-1), starts)


def ragged_entries(first: Tensor, width: Tensor, rows: Axis, columns: Axis) -> Entries:
    """Only the cells that count: each bin is listed line by line, each line cell by cell."""
    by_row, by_column = listed(rows), listed(columns)
    shape = first.shape
    lines_of_bin = by_row.counts[:, :, None].expand(shape).reshape(-1)
    first_line = by_row.starts[:, :, None].expand(shape).reshape(-1)
    cells_of_line = by_column.counts[:, None, :].expand(shape).reshape(-1)
    first_cell = by_column.starts[:, None, :].expand(shape).reshape(-1)
    width = width[:, None, None].expand(shape).reshape(-1)
    # index_select is several times as fast as indexing
    bins, line = runs(first_line, lines_of_bin)
    lines, place = runs(first_cell.index_select(0, bins), cells_of_line.index_select(0, bins))
    begin = first.reshape(-1).index_select(0, bins)
    begin = begin + by_row.cells.index_select(0, line) * width.index_select(0, bins)
    cells = begin.index_select(0, lines) + by_column.cells.index_select(0, place)
    line_weights = by_row.weights.index_select(0, line).index_select(0, lines)
    weights = line_weights * by_column.weights.index_select(0, place)
    starts = F.pad((lines_of_bin * cells_of_line).cumsum(0), (1, 0))
    return Entries(cells, weights, starts)


class Listed(NamedTuple):
    """What counts on an axis, one bin after another."""

    cells: Tensor
    weights: Tensor
    starts: Tensor  # (R, B) where each bin begins
    counts: Tensor  # (R, B)


def listed(axis: Axis) -> Listed:
    """An axis without the cells that do not count."""
    counted = axis.weights != 0 if axis.counted is None else axis.counted  # a NaN counts
    counts = counted.sum(-1)
    starts = counts.flatten().cumsum(0).view_as(counts) - counts
    which = counted.flatten().nonzero()[:, 0]
    cells, weights = (each.flatten().index_select(0, which) for each in (axis.cells, axis.weights))
    return Listed(cells, weights, starts, counts)


def merged(axis: Axis) -> Axis:
    """The same sums with each cell once: what a bin reads from its first to its last cell; waits
    for the host.

    Samples that lie close together share cells, so this has fewer of them.
    """
    if not axis.cells.numel():
        return axis
    first = axis.cells.min(-1, keepdim=True).values  # amin is much slower
    place = axis.cells - first
    most = int(place.max()) + 1
    weights = axis.weights.new_zeros(*axis.weights.shape[:-1], most)
    weights = weights.scatter_add(-1, place, axis.weights)
    return Axis(first + torch.arange(most, device=first.device), weights)


def runs(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The runs of integers start, start + 1, ... of given lengths, one after another.

    Args:
        starts, counts: (K,).

    Returns:
        for each integer the run that it belongs to, and the integer.
    """
    run = torch.repeat_interleave(counts)
    offsets = starts - counts.cumsum(0) + counts
    return run, torch.arange(len(run), device=run.device) + offsets.index_select(0, run)


def weighted_sums(table: Tensor, entries: Entries) -> Tensor:
    """The sum of weight * cell of each bin (number of bins, C), differentiable in the table and in
    the weights.

    Its gradients are deterministic.
    """
    weights = entries.weights.to(table.dtype)
    sums = bag(table.detach(), entries.cells, weights, entries.starts)
    if not (table.requires_grad and torch.is_grad_enabled()):
        return sums
    summed: Tensor = TableGradient.apply(
        sums, table, entries.cells, weights.detach(), entries.starts
    )
    return summed


def bag(table: Tensor, cells: Tensor, weights: Tensor, starts: Tensor) -> Tensor:
    """``embedding_bag`` of rows of the table with a weight each; ``starts`` ends with their
    number."""
    return F.embedding_bag(
        cells, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


class TableGradient(Function):
    """Gives the sums of the bins a gradient to the table, several times as fast as that of
    ``embedding_bag``.

    The entries are sorted by cell. Then the gradient of a cell is the weighted sum of the gradients
    of its bins, one more ``embedding_bag``.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        sums: Tensor,
        table: Tensor,
        cells: Tensor,
        weights: Tensor,
        starts: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(cells, weights, starts)
        ctx.table_rows = len(table)  # type: ignore[attr-defined]
        return sums.view_as(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        cells, weights, starts = ctx.saved_tensors  # type: ignore[attr-defined]
        bins = torch.repeat_interleave(starts.diff(), output_size=len(cells))
        cells, order = cells.sort(stable=True)
        numbers = torch.arange(ctx.table_rows + 1, device=cells.device)  # type: ignore[attr-defined]
        by_cell = bag(
            gradient.contiguous(),
            bins.index_select(0, order),
            weights.index_select(0, order),
            torch.searchsorted(cells, numbers),
        )
        return gradient, by_cell, None, None, None
