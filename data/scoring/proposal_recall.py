"""Recall of proposals: which share of the objects some proposal overlaps well enough, whatever
their class.

Letters: N images, P proposals, G ground-truth boxes. The plain rule of the proposal literature: an
object is found at an IoU of t if the best overlap of any proposal with it is at least t, so that
one proposal may find two objects. (COCO's AR gives each proposal to one object at most; the two
differ where objects crowd together.)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.boxes import box_iou
from data.errors import DataError
from data.records import Proposals, Target

AVERAGED = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))  # COCO's 0.5, 0.55, ..., 0.95

Recalls = dict[str, float | dict[str, float]]


def best_overlaps(proposals: Proposals, target: Target, counts: Sequence[int]) -> Tensor:
    """The largest IoU (len(counts), G') that the first ``count`` proposals of one image have with
    each object.

    G' leaves out crowds and difficult objects. float64, so that a box that overlaps by 7/10 reaches
    0.7.
    """
    objects = target.boxes[~(target.crowd | target.difficult)]
    overlap = box_iou(proposals.boxes.double(), objects.double())
    nothing = overlap.new_zeros(1, len(objects))  # the best of no proposals
    return torch.stack([torch.cat([nothing, overlap[:count]]).amax(dim=0) for count in counts])


def recall(
    proposals: Sequence[Proposals],
    targets: Sequence[Target],
    *,
    counts: Sequence[int] = (100, 300, 1000),
    ious: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9),
) -> Recalls:
    """Recall of the best ``count`` proposals of each image over all objects of a data set, in
    percent.

    Args:
        proposals, targets: one entry per image, in the same order; original px. Crowds and
            difficult objects are left out.
        counts: how many proposals an image may use. Where it has fewer, these are all there is.
        ious: overlaps from which an object is found.

    Returns:
        for each count "recall@count" ({"0.5": percent, ...}), "AR@count" (the mean recall over IoU
        0.5, 0.55, ..., 0.95), "mean_iou@count" (the mean over objects of their best overlap) and
        "proposals@count" (the mean number of proposals that an image used). nan without objects or
        images.

    Raises:
        DataError: the two sequences do not fit.

    Law: more proposals never lower a recall, a higher IoU never raises it.
    """
    if len(proposals) != len(targets):
        raise DataError(
            f"There are proposals of {len(proposals)} images but targets of {len(targets)}; give"
            " one entry per image, in the same order."
        )
    overlaps = [best_overlaps(*pair, counts).cpu() for pair in zip(proposals, targets, strict=True)]
    best = torch.cat([torch.zeros(len(counts), 0, dtype=torch.float64), *overlaps], dim=1)
    scores: Recalls = {}
    for row, count in zip(best, counts, strict=True):
        scores[f"recall@{count}"] = {str(iou): percent_true(row >= iou) for iou in ious}
        scores[f"AR@{count}"] = percent_true(torch.stack([row >= iou for iou in AVERAGED]))
        scores[f"mean_iou@{count}"] = 100.0 * row.mean().item()
        used = [float(min(count, len(image.boxes))) for image in proposals]
        scores[f"proposals@{count}"] = torch.tensor(used, dtype=torch.float64).mean().item()
    return scores


def percent_true(values: Tensor) -> float:
    """How many of the values are true, in percent; nan if there are none."""
    return 100.0 * values.double().mean().item()
