"""How good the detections of each image are, to find the best and the worst ones.

The measure is that of Kirillov et al., "Panoptic Segmentation", CVPR 2019, section 4.2, with boxes
in the place of segments: the sum of the IoUs of the right detections, divided by right + wrong / 2
+ missed / 2. It is 0..1, counts a wrong box like a missed object, and needs one score from which
on a detection counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import box_iou
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.calibration import match_detections
from data.scoring.crowds import in_crowd

IOU = 0.5  # least IoU of a right detection with its object


@dataclass(frozen=True, kw_only=True)
class ImageQuality:
    """One image.

    right, wrong (D,) bool: of its detections, those that count; a detection in a crowd region is
    neither. found (G,) bool: of its objects; missed (G,) bool: no crowd, and not found. quality:
    0..1, nan without an object and a detection that counts.
    """

    right: Tensor
    wrong: Tensor
    found: Tensor
    missed: Tensor
    quality: float

    @property
    def objects(self) -> int:
        """How many objects there are to find."""
        return int((self.found | self.missed).sum())


def image_quality(detections: Detections, target: Target, least_score: float) -> ImageQuality:
    """The quality of one image.

    Args:
        detections: of the image.
        target: its objects, on the same pixels.
        least_score: of a detection that counts.
    """
    counted = detections.scores >= least_score
    chosen = counted.nonzero()[:, 0]
    rows, columns = match_detections(detections.select(counted), target, IOU)
    rows = chosen[rows]
    right = torch.zeros_like(counted)
    right[rows] = True
    found = torch.zeros_like(target.crowd)
    found[columns] = True
    wrong = counted & ~right & ~in_crowd(detections, target)
    missed = ~found & ~target.crowd
    overlap = box_iou(detections.boxes[rows], target.boxes[columns]).diagonal().sum()
    weight = len(rows) + (int(wrong.sum()) + int(missed.sum())) / 2
    return ImageQuality(
        right=right,
        wrong=wrong,
        found=found,
        missed=missed,
        quality=float(overlap) / weight if weight else float("nan"),
    )


def image_qualities(
    detections: Sequence[Detections], targets: Sequence[Target], least_score: float
) -> list[ImageQuality]:
    """The quality of each image; the arguments have one entry per image, in the same order.

    Raises:
        DataError: the sequences do not fit.
    """
    check_aligned(detections, targets)
    return [image_quality(*pair, least_score) for pair in zip(detections, targets, strict=True)]


def best_and_worst(qualities: Sequence[ImageQuality], count: int) -> tuple[list[int], list[int]]:
    """The places of the best and of the worst images, the extreme ones first.

    No image is in both; of equal ones that with more objects comes first. Images without a quality
    are in neither.
    """
    known = [k for k, image in enumerate(qualities) if image.quality == image.quality]
    count = min(count, -(-len(known) // 2))
    worst = sorted(known, key=lambda k: (qualities[k].quality, -qualities[k].objects))[:count]
    rest = [k for k in known if k not in worst]
    best = sorted(rest, key=lambda k: (-qualities[k].quality, -qualities[k].objects))[:count]
    return best, worst
