"""The detections in one photo, and what their sigmas say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from PIL import Image
from torch import Tensor

from data.formats.coco_results import result_entries
from data.formats.masks import encode_masks
from data.records import Detections, ImageId
from postprocess.error_quantiles import Interval
from postprocess.intervals import holding_boxes, intervals
from postprocess.masks import paste_masks
from postprocess.sigma_uses import expected_iou
from scripts.engine.detection.detection import LoadedDetector
from scripts.engine.detection.drawing import overlay
from scripts.engine.detection.files import detections_as_lines, probabilities_by_name, rounded
from scripts.engine.run_folder.recalibration import Recalibration, interval_of, probability_within


@dataclass(frozen=True, kw_only=True)
class PhotoDetections(Detections):
    """The D detections in a photo, best first: ``Detections``, and what belongs to them.

    classes: label k means ``classes[k - 1]``. photo: (3, H, W) uint8 RGB. recalibration: of the
    sigmas; None: they are the network's own. level: of the intervals in ``lines``; None: none.
    """

    classes: tuple[str, ...]
    photo: Tensor
    recalibration: Recalibration | None = None
    level: float | None = None

    @property
    def names(self) -> list[str]:
        """The class of each detection."""
        return [self.classes[label - 1] for label in self.labels.tolist()]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px of the photo."""
        return self.photo.shape[-2], self.photo.shape[-1]

    def select(self, keep: Tensor | slice) -> PhotoDetections:
        """The detections that an index, a mask (D,) or a slice chooses, in the same photo."""
        own = Detections(**{f.name: getattr(self, f.name) for f in fields(Detections)})
        return replace(self, **vars(own.select(keep)))

    def within(self, px: float) -> Tensor:
        """The probability (D, 4) that the object's side lies at most ``px`` from the box's.

        Of recalibrated sigmas it is what was measured, and no more than the highest level that was
        fitted (0.99, or less after fewer than 99 detections); of others it is a Gaussian's.

        Raises:
            ValueError: the distance is negative or no number.
        """
        return probability_within(self.recalibration, self.known_sigma, px)

    def expected_iou(self) -> Tensor:
        """The expected IoU (D,) of each box with its object, given that the object is there."""
        return expected_iou(self.boxes, self.known_sigma)

    def intervals(self, level: float = 0.9) -> Tensor:
        """(D, 4, 2) px: the ends between which each side of the object lies with ``level``.

        Raises:
            ValueError: no interval of this level was fitted, or it is no share.
        """
        return intervals(self.boxes, self.known_sigma, self.factors_at(level).sides)

    def holding_boxes(self, level: float = 0.9) -> Tensor:
        """(D, 4) px: boxes that hold all of the object with ``level``; errors as in intervals.

        They are not clipped to the photo.
        """
        return holding_boxes(self.boxes, self.known_sigma, self.factors_at(level).holding)

    def factors_at(self, level: float) -> Interval:
        """The factors of sigma that were fitted for a level, or a Gaussian's."""
        return interval_of(self.recalibration, level)

    @property
    def known_sigma(self) -> Tensor:
        """The sigmas (D, 4) px.

        Raises:
            ValueError: the network predicts none.
        """
        if self.sigma is None:
            raise ValueError("This network predicts no sigma; use one of a run with KL Loss.")
        return self.sigma

    def lines(self) -> list[dict[str, Any]]:
        """Class, score, box, sigma (interval, probabilities, mask) of each, as in the
        detections.json of scripts.detect.
        """
        return [dict(line) for line in self._lines]

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        return self.with_intervals(detections_as_lines(self, self.classes, 0.0, self.size))

    def with_intervals(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The lines of all detections with "interval", (low, high) px of each side, if the detector
        was asked for it.
        """
        if self.level is None:
            return lines
        ends = [[rounded(side) for side in sides] for sides in self.intervals(self.level)]
        return [{**line, "interval": sides} for line, sides in zip(lines, ends, strict=True)]

    def draw(self, *, by_class: bool = False) -> Image.Image:
        """The photo with every box, its class and score, and one sigma as a band on each side.

        Args:
            by_class: each class has a color, instead of each detection.
        """
        return overlay(self.photo, self.lines(), self.classes if by_class else ())

    def to_coco(
        self, image_id: ImageId = 0, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """The detections as COCO results, with "sigma" and, of a Mask R-CNN, "segmentation";
        with "interval" and "probabilities" if the detector was asked for them.

        Args:
            image_id: of the photo.
            category_ids: entry k - 1 is that of label k; None: 1, 2, ...
        """
        ids = range(1, len(self.classes) + 1) if category_ids is None else category_ids
        entries = self.with_intervals(result_entries(self, image_id, ids))
        if self.probabilities is not None:
            by_name = probabilities_by_name(self.probabilities, self.classes)
            entries = [{**e, "probabilities": p} for e, p in zip(entries, by_name, strict=True)]
        if self.masks is None:
            return entries
        masks = encode_masks(paste_masks(self.masks, self.boxes, self.size))
        return [{**e, "segmentation": rle} for e, rle in zip(entries, masks, strict=True)]


def reported(
    detections: Detections,
    photo: Tensor,
    loaded: LoadedDetector,
    least_score: float,
    level: float | None,
) -> PhotoDetections:
    """The detections with at least that score, which are the first ones; ``level`` is that of their
    intervals.
    """
    shown = detections.select(slice(int((detections.scores >= least_score).sum())))
    return PhotoDetections(
        **vars(shown),
        classes=tuple(loaded.classes),
        photo=photo,
        recalibration=loaded.recalibration,
        level=level,
    )
