"""From the box head's outputs to Candidates, and between original and network pixels.

Letters: P RoIs of one image, M candidates, K foreground classes.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder, EdgeCoder, clip, resize_boxes, sort_corners
from data.records import Batch, Candidates, ImageId

# in testing: exp() of it, times a squared side in px, is still finite in float32
LOG_VARIANCE_RANGE = 60.0
# class logits (P, K + 1), offsets (P, K + 1, 4), log variance (P, K + 1, 4) or None
HeadOutputs = tuple[Tensor, Tensor, Tensor | None]


def decode_all(
    rois: Tensor,
    outputs: HeadOutputs,
    coder: BoxCoder,
    image_size: tuple[int, int],
    score_threshold: float,
    image_id: ImageId,
    *,
    with_probabilities: bool = False,
) -> Candidates:
    """A candidate for every RoI and class whose score is larger than the threshold.

    Args:
        rois: (P, 4), original px.
        outputs: of the head for these RoIs, float32.
        coder: of the offsets.
        image_size: (height, width), original px.
        score_threshold: of the softmax score of a class.
        image_id: of the image, for the message.
        with_probabilities: whether candidates have those of all classes.

    Returns:
        Candidates in original px.

    Raises:
        ValueError: an output is not finite; names the image.
    """
    check_finite(image_id, class_logits=outputs[0])
    probabilities = outputs[0].softmax(-1)
    row, column = (probabilities[:, 1:] > score_threshold).nonzero(as_tuple=True)
    return decode(
        rois,
        outputs,
        row,
        column + 1,
        probabilities,
        coder,
        image_size,
        image_id,
        with_probabilities=with_probabilities,
    )


def decode_own(
    previous: Candidates,
    outputs: HeadOutputs,
    coder: BoxCoder,
    image_size: tuple[int, int],
    score_threshold: float,
    image_id: ImageId,
    *,
    with_probabilities: bool = False,
) -> Candidates:
    """Candidates that went through the box head once more, each for its own class.

    MR-CNN's iterative localization: the new score replaces the old one, and candidates whose score
    falls to the threshold or below are left out.

    Args:
        previous: the candidates whose boxes were the RoIs, M of them.
        outputs: of the head for these boxes, rows in their order, float32.
        coder: of the offsets.
        image_size: (height, width), original px.
        score_threshold: of the softmax score of a class.
        image_id: of the image, for the message.
        with_probabilities: whether candidates have those of all classes.

    Returns:
        Candidates in original px, at most M.

    Raises:
        ValueError: an output is not finite; names the image.
    """
    rows = torch.arange(len(previous.labels), device=previous.labels.device)
    check_finite(image_id, class_logits=outputs[0])
    probabilities = outputs[0].softmax(-1)
    scores = probabilities[rows, previous.labels]
    kept = (scores > score_threshold).nonzero()[:, 0]
    return decode(
        previous.boxes,
        outputs,
        kept,
        previous.labels[kept],
        probabilities,
        coder,
        image_size,
        image_id,
        with_probabilities=with_probabilities,
    )


def decode(
    rois: Tensor,
    outputs: HeadOutputs,
    row: Tensor,
    label: Tensor,
    probabilities: Tensor,
    coder: BoxCoder,
    image_size: tuple[int, int],
    image_id: ImageId,
    *,
    with_probabilities: bool,
) -> Candidates:
    """The candidates of chosen RoIs and classes: boxes with their corners sorted, then clipped.

    Args:
        rois: (P, 4), original px.
        outputs: of the head for these RoIs, float32.
        row: (M,) which RoI each candidate comes from.
        label: (M,) the class of each candidate.
        probabilities: (P, K + 1) of all classes for these RoIs.
        coder: of the offsets.
        image_size: (height, width), original px.
        image_id: of the image, for the message.
        with_probabilities: whether candidates have those of all classes.

    Returns:
        Candidates in original px; variances in offset units if the head has log variances, and in
        px if the coder is that of edges.

    Raises:
        ValueError: an offset, a log variance or a box is not finite; names the image.
    """
    references, offsets = rois[row], outputs[1][row, label]
    log_variances = None if outputs[2] is None else outputs[2][row, label]
    # before the limits of the coder and of the variances, which make infinity finite
    check_finite(image_id, offsets=offsets, log_variances=log_variances)
    boxes = clip(sort_corners(coder.decode(offsets, references)), image_size)
    check_finite(image_id, boxes=boxes)
    variances = pixel_variances = None
    if log_variances is not None:
        variances = log_variances.clamp(-LOG_VARIANCE_RANGE, LOG_VARIANCE_RANGE).exp()
        if isinstance(coder, EdgeCoder):
            pixel_variances = coder.pixel_variances(variances, references)
    return Candidates(
        boxes=boxes,
        scores=probabilities[row, label],
        labels=label,
        variances=variances,
        pixel_variances=pixel_variances,
        probabilities=probabilities[row] if with_probabilities else None,
    )


def join(first: Candidates, second: Candidates) -> Candidates:
    """Both sets of candidates of one image as one; each has what both have."""
    pairs = {name: (value, getattr(second, name)) for name, value in vars(first).items()}
    both = {
        name: None if a is None or b is None else torch.cat([a, b])
        for name, (a, b) in pairs.items()
    }
    return replace(first, **both)  # type: ignore[arg-type]


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Rows (P_i, ...) of N images as one (N, P, ...), filled up with zeros."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def to_original(boxes: Tensor, batch: Batch, index: int) -> Tensor:
    """Boxes (P, 4) of image ``index`` from network px to original px."""
    return resize_boxes(boxes, batch.image_sizes[index], batch.original_sizes[index])


def to_network(boxes: Tensor, batch: Batch, index: int) -> Tensor:
    """Boxes (P, 4) of image ``index`` from original px to network px."""
    return resize_boxes(boxes, batch.original_sizes[index], batch.image_sizes[index])


def check_finite(image_id: ImageId, **outputs: Tensor | None) -> None:
    """Refuses outputs that are not finite, which would otherwise be dropped without a word.

    Args:
        image_id: of the image, for the message.
        outputs: tensors by the name that the message has, ``_`` for a blank; None is skipped.

    Raises:
        ValueError: an output is not finite; names it and the image.
    """
    for name, values in outputs.items():
        if values is not None and not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"The {name.replace('_', ' ')} of image {image_id} are not finite: a weight is "
                "NaN or the network has diverged; evaluate an earlier checkpoint."
            )
