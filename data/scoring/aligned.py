"""Checks that detections and targets belong together before they are scored."""

from collections.abc import Sequence

from data.errors import DataError
from data.records import Detections, Target


def check_aligned(
    detections: Sequence[Detections], targets: Sequence[Target], num_classes: int | None = None
) -> None:
    """Checks one Detections per Target, labels in 1..num_classes (None: any), scores that can be
    sorted, and finite boxes: pycocotools takes a box with NaN for one that fits.

    Raises:
        DataError: names the image by its position.
    """
    if len(detections) != len(targets):
        raise DataError(
            f"There are detections of {len(detections)} images but targets of {len(targets)}; "
            "give one entry per image, in the same order."
        )
    for index, (detected, target) in enumerate(zip(detections, targets, strict=True)):
        for name, record in (("detections", detected), ("targets", target)):
            labels = record.labels
            if num_classes is not None and ((labels < 1) | (labels > num_classes)).any():
                raise DataError(
                    f"The {name} of image {index} have labels"
                    f" {labels.min().item()}..{labels.max().item()}, outside 1..{num_classes}; was"
                    " the model trained on other classes?"
                )
            if not record.boxes.isfinite().all():
                raise DataError(
                    f"The {name} of image {index} have boxes that are NaN or infinite; look at the"
                    " model's output, or at the labels."
                )
        if not detected.scores.isfinite().all():
            raise DataError(
                f"The detections of image {index} have scores that are NaN or infinite; look at"
                " the model's output."
            )
