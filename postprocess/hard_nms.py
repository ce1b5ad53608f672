"""Hard NMS in each class of each image by torchvision's kernel.

Letters: T candidates of all images, G groups (an image and a class), S selected boxes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torchvision import ops

from postprocess.arrays import Doubles, Indices
from postprocess.best_first import SelectedPlaces
from postprocess.class_slices import ClassSlices
from postprocess.overlaps import Overlaps

# The kernel compares every kept box with every later one, of whatever group: so groups share a call
# only while they are few.
MEMBERS_PER_CALL = 512
LARGEST_SHIFTED = 1e6  # px


def hard_nms(slices: ClassSlices, scores: Doubles, *, threshold: float) -> Indices:
    """The boxes that no better selected box of their group overlaps by more than ``threshold``.

    Groups that share a call of the kernel are moved apart. In float64 the shift by a power of two
    leaves the boxes' sides, and with them every IoU, as they are.

    Args:
        slices: the candidates.
        scores: (T,) by place.
        threshold: IoU; a box with exactly this IoU stays.

    Returns:
        places (S,), group after group, and in a group best first.

    Law: equals torchvision.ops.batched_nms, apart from IoUs that float32 rounds to the threshold.
    """
    extent = float(np.abs(slices.boxes).max(initial=1.0))
    moved = slices.boxes.astype(np.float64)
    # A shift of many large boxes would cost them digits.
    together = MEMBERS_PER_CALL if extent < LARGEST_SHIFTED else 0
    if together:
        moved += slices.group * 2.0 ** np.ceil(np.log2(extent) + 1)
    boxes, ranked = torch.from_numpy(moved.T), torch.from_numpy(scores)
    kept = [
        ops.nms(boxes[part], ranked[part], threshold).numpy() + part.start
        for part in calls(slices, together)
    ]
    places = np.concatenate(kept)
    return places[slices.group[places].argsort(kind="stable")]


def calls(slices: ClassSlices, together: int) -> Iterator[slice]:
    """The places that one call of the kernel looks at: one group, or several that have at most
    ``together`` members in all.
    """
    start = 0
    ends = (slices.first + slices.size).tolist()
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is None or following - start > together:
            yield slice(start, end)
            start = end


def best_after_nms(
    overlaps: Overlaps,
    scores: Doubles,
    images: Indices,
    *,
    threshold: float,
    max_detections: int,
    exits: bool = False,
) -> SelectedPlaces:
    """The best boxes of every image that NMS leaves.

    Args:
        overlaps: of the candidates.
        scores: (T,) by place.
        images: (G,) the image of each group, ascending.
        threshold: IoU.
        max_detections: D, of each image.
        exits: whether to find the exit steps.

    Returns:
        what was selected. Of equal scores the lowest row comes first.
    """
    slices = overlaps.slices
    places = hard_nms(slices, scores, threshold=threshold)
    group = slices.group[places]
    step = np.arange(len(places)) - group.searchsorted(group)
    image = images[group]
    ranking = np.lexsort((slices.order[places], -scores[places], image))
    image = image[ranking]
    ranking = ranking[np.arange(len(image)) - image.searchsorted(image) < max_detections]
    places, step = places[ranking], step[ranking]
    return SelectedPlaces(
        place=places,
        scores=scores[places],
        step=step,
        exit_step=exit_steps(overlaps, places, step, threshold=threshold) if exits else None,
    )


def exit_steps(overlaps: Overlaps, places: Indices, step: Indices, *, threshold: float) -> Indices:
    """The step of its group in which each box was selected or dropped, as far as it is known from
    the first selected boxes of every group.

    Args:
        overlaps: of the candidates.
        places, step: (D,) where the selected boxes are, and in which step of their group.
        threshold: IoU.

    Returns:
        (T,) by place; T if no selected box among those given is the box or overlaps it.
    """
    count = len(overlaps.slices.order)
    steps = np.full(count, count)
    for near in overlaps.neighborhoods(places):
        leaves = near.iou > threshold
        box, member = np.broadcast_arrays(near.box, near.member)
        np.minimum.at(steps, member[leaves], step[box[leaves]])
    steps[places] = step  # an IoU may lie on the other side of the threshold in float64
    return steps
