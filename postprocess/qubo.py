"""QUBO suppression: the boxes of a class that minimize a quadratic energy of scores and overlaps.

Letters: G groups (an image and a class), M slots in a group; B problems of up to N boxes, R starts.
x_i is 1 if box i is kept, s_i its score, w the overlap weight. Rujikietgumjorn and Collins,
"Optimized Pedestrian Detection for Multiple and Occluded People", 2013; two comparison rows of KL
Loss Table 5.

    E(x) = sum_i c_i x_i + sum_{i<j} p_ij x_i x_j
    c_i  = -(1 - w) s_i [+ w]
    p_ij = pair_factor * w * IoU_ij

The original's overlap term was not found in public sources; what is known is the code that the
authors of KL Loss published with their own (py_cpu_nms.py, not called there). It fills a whole
matrix with w IoU, diagonal included, so that each box pays w for overlapping itself: a box whose
score is not above w / (1 - w), 0.724 or 0.667, can never be kept, however alone it is. The
corrected formulation leaves the diagonal out. A box with c_i >= 0 is in no minimum that keeps as
few boxes as possible, for p_ij >= 0: it is taken out beforehand, which changes no minimum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from data.boxes import box_iou
from postprocess.suppression import SelectedSlots, selected_slots

Search = Callable[[Tensor, Tensor, Tensor], Tensor]

CHUNK = 2**21  # entries of the pair matrices held at a time: 16 MB
RANDOM_STARTS = 6  # of the tabu search, besides the empty set and the greedy solution
MAX_TENURE = (
    20  # steps for which a flipped box stays as it is; a quarter of the boxes, if that is less
)
MIN_STEPS, STEPS_PER_BOX = 50, 5  # length of the tabu search
# energies that differ by less are equal: that is far above the rounding of the running sums
SAME_ENERGY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Qubo:
    """The energy, and the authors' exception from it."""

    overlap_weight: float  # w in [0, 1]
    pair_factor: int = 1  # 1 or 2: how often an overlapping pair is counted
    self_overlap: bool = True  # c_i contains + w, the overlap of a box with itself
    keep_lone: bool = True  # the only candidate of a class is kept whatever its score is
    seed: int = 0  # of the random starts of the tabu search

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_weight <= 1:
            raise ValueError(f"Qubo.overlap_weight is {self.overlap_weight}; it must be in [0, 1].")
        if self.pair_factor not in (1, 2):
            raise ValueError(f"Qubo.pair_factor is {self.pair_factor}; it must be 1 or 2.")


# The greedy function adds one of the two equal entries of a pair, the sampler that the tabu
# function calls adds both.
AUTHORS_GREEDY = Qubo(overlap_weight=0.42, pair_factor=1)
AUTHORS_TABU = Qubo(overlap_weight=0.40, pair_factor=2)
# No published weight exists for it; this one is the authors', not tuned.
CORRECTED = Qubo(overlap_weight=0.40, pair_factor=2, self_overlap=False, keep_lone=False)


def linear_terms(scores: Tensor, qubo: Qubo) -> Tensor:
    """c_i = -(1 - w) s_i, plus w with self overlap; (...) like the scores."""
    return (qubo.overlap_weight - 1) * scores + (qubo.overlap_weight if qubo.self_overlap else 0.0)


def pair_terms(boxes: Tensor, qubo: Qubo) -> Tensor:
    """p_ij = pair_factor * w * IoU_ij of boxes (..., N, 4) as a symmetric matrix (..., N, N) with
    zero diagonal.
    """
    pairs = qubo.pair_factor * qubo.overlap_weight * box_iou(boxes, boxes)
    return pairs * (1 - torch.eye(boxes.shape[-2], dtype=pairs.dtype, device=pairs.device))


def energy(kept: Tensor, linear: Tensor, pairs: Tensor) -> Tensor:
    """E(x) = sum_i c_i x_i + sum_{i<j} p_ij x_i x_j.

    Args:
        kept: (..., N), x as 0 and 1.
        linear: (..., N), c.
        pairs: (..., N, N), p, symmetric with zero diagonal.

    Returns:
        (...).
    """
    field = (pairs @ kept[..., None])[..., 0]
    return (kept * (linear + field / 2)).sum(dim=-1)


def greedy(linear: Tensor, pairs: Tensor, valid: Tensor) -> Tensor:
    """From the empty set, again and again adds the box that lowers E most; all problems advance
    together.

    Args:
        linear: (B, N) c.
        pairs: (B, N, N) p >= 0, symmetric with zero diagonal.
        valid: (B, N) bool, False in the padding.

    Returns:
        x (B, N) bool. Of equal steps the lowest slot is taken; a step that leaves E as it is, is
        not taken.
    """
    kept = torch.zeros_like(valid)
    increment = linear.masked_fill(~valid, torch.inf)
    for _ in range(linear.shape[1]):
        cost, best = increment.min(dim=1, keepdim=True)
        add = cost < 0
        if not add.any():
            break
        added = torch.zeros_like(valid).scatter(1, best, add)
        kept |= added
        increment = increment + add * pairs.take_along_dim(best[..., None], dim=1)[:, 0]
        increment = increment.masked_fill(added, torch.inf)
    return kept


def tabu(linear: Tensor, pairs: Tensor, valid: Tensor, *, starts: Tensor) -> Tensor:
    """One-flip tabu search from several starts; all starts of all problems advance together.

    Each step flips the box that lowers E most, or raises it least, and holds it for ``tenure``
    steps; a held box may be flipped if that leads below the best energy so far. The length of the
    search and the tenure depend on the problem's own size alone, so that a result does not depend
    on what is solved beside it.

    Args:
        linear, pairs, valid: as for ``greedy``; float64 keeps the running sums exact enough.
        starts: (N or more, R) bool: the box in slot n is in start r. The empty set and greedy's
            answer are added.

    Returns:
        x (B, N) bool of the lowest energy met; of equal ones, that of the first start. Law: it is
        never above greedy's.
    """
    sizes = valid.sum(dim=1)[:, None]
    tenure = (
        (sizes // 4).clamp(1, MAX_TENURE).minimum((sizes - 1).clamp(min=0))
    )  # at least one box is always free
    steps = (STEPS_PER_BOX * sizes).clamp(min=MIN_STEPS)
    random = starts[: linear.shape[1]].T & valid[:, None]
    given = torch.stack([torch.zeros_like(valid), greedy(linear, pairs, valid)], dim=1)
    kept = torch.cat([given, random], dim=1).to(linear.dtype)
    field = kept @ pairs
    now = energy(kept, linear[:, None], pairs[:, None])
    best, best_kept = now, kept
    free_from = torch.zeros_like(kept, dtype=torch.int64)
    for step in range(int(steps.max())):
        change = (1 - 2 * kept) * (linear[:, None] + field)
        allowed = valid[:, None] & (
            (free_from <= step) | (now[..., None] + change < best[..., None] - SAME_ENERGY)
        )
        cost, slot = change.masked_fill(~allowed, torch.inf).min(dim=2, keepdim=True)
        flip = 1 - 2 * kept.gather(2, slot)
        kept = kept.scatter_add(2, slot, flip)
        field = field + flip * pairs.take_along_dim(slot, dim=1)
        now = now + cost[..., 0]
        free_from = free_from.scatter(2, slot, (step + 1 + tenure)[..., None].expand_as(slot))
        better = (now < best - SAME_ENERGY) & (step < steps)
        best, best_kept = (
            torch.where(better, now, best),
            torch.where(better[..., None], kept, best_kept),
        )
    winner = (best < best.amin(dim=1, keepdim=True) + SAME_ENERGY).byte().argmax(dim=1)
    return best_kept.take_along_dim(winner[:, None, None], dim=1)[:, 0] > 0.5


def tabu_search(count: int, generator: torch.Generator, device: torch.device) -> Search:
    """``tabu`` with random starts for up to ``count`` boxes: each box is in each of them with
    probability 1/2.

    The draws are the generator's first, box by box: a smaller problem gets the beginning of the
    same draws.
    """
    starts = torch.rand(count, RANDOM_STARTS, generator=generator) < 0.5
    return partial(tabu, starts=starts.to(device))


def qubo_select(
    boxes: Tensor, scores: Tensor, valid: Tensor, *, qubo: Qubo, search: Search
) -> SelectedSlots:
    """Keeps in each group the boxes that ``search`` finds to minimize E; they keep their scores.

    Problems are solved in chunks of similar size, the boxes of each sorted by score: the answer
    depends neither on the order of the boxes (if their scores differ) nor on other groups.

    Args:
        boxes, scores, valid: (G, M, 4) px, (G, M) and (G, M), as for ``suppression.select``.
        qubo: the energy.
        search: (linear (B, N), pairs (B, N, N), valid (B, N)) -> x (B, N) bool: ``greedy``, or of
            ``tabu_search``.
    """
    linear = linear_terms(scores.double(), qubo).masked_fill(~valid, torch.inf)
    linear, order = linear.sort(dim=1, stable=True)
    useful = linear < 0
    counts, by_count = useful.sum(dim=1).sort(descending=True, stable=True)
    sizes = [size for size in counts.tolist() if size > 0]
    ranked = torch.zeros_like(valid)
    start = 0
    while start < len(sizes):
        width = sizes[start]
        similar = sum(
            2 * size >= width for size in sizes[start : start + max(1, CHUNK // width**2)]
        )
        problem = by_count[start : start + similar]
        inside = useful[problem, :width]
        near = boxes[problem].take_along_dim(order[problem, :width, None], dim=1).double()
        ranked[problem, :width] = search(
            linear[problem, :width].masked_fill(~inside, 0.0), pair_terms(near, qubo), inside
        )
        start += similar
    kept = torch.zeros_like(valid).scatter(1, order, ranked)
    if qubo.keep_lone:
        kept |= valid & (valid.sum(dim=1, keepdim=True) == 1)
    return selected_slots(kept, scores)
