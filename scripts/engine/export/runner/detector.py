"""The exported parts of a detector, and in NumPy everything between and after them.

Nothing below scripts/engine/export/runner/ needs torch: the folder can be copied to where the
detector is to run. The parts are functions from an array to named arrays, whatever runs them.
"""

import numpy as np

from scripts.engine.export.runner.arrays import Bytes, Floats, Outputs, Part
from scripts.engine.export.runner.boxes import rescale
from scripts.engine.export.runner.candidates import (
    Candidates,
    Detections,
    candidates_of,
    detections_of,
)
from scripts.engine.export.runner.description import Description, Postprocess, SecondStage
from scripts.engine.export.runner.image import Size, network_input
from scripts.engine.export.runner.pooling import pool, position_sensitive
from scripts.engine.export.runner.proposals import anchors_of, propose

MAPS = ("class_logits", "offsets", "log_variance")  # R-FCN's, each as "maps_" + its name


class ExportedDetector:
    """A detector of an exported dense part and, if the network is not R-FCN, of a head part.

    Args:
        description: what lies beside the parts, ``read_description`` of their folder.
        dense: images (1, 3, H, W) -> what ``DensePart`` says.
        head: pooled RoIs (R, C, B, B) -> what ``HeadPart`` says; None for R-FCN.

    Raises:
        ValueError: the network needs a head part.
    """

    def __init__(self, description: Description, dense: Part, head: Part | None = None) -> None:
        if head is None and description.second.head == "pooled":
            raise ValueError(
                "This network needs its head part as well: scripts.export CHECKPOINT --part head."
            )
        self.description, self.dense, self.head = description, dense, head

    def __call__(
        self, image: Bytes, *, score: float = 0.5, config: Postprocess | None = None
    ) -> Detections:
        """The detections of an image (h, w, 3) uint8 RGB, in its px, best first.

        Args:
            image: of any size, unless the dense part has a fixed one.
            score: least score of a detection that is returned.
            config: the post-processing; None: what the network was trained for.

        Raises:
            ValueError: it is no image, or a number of the network's is not finite.
        """
        config = config or self.description.postprocess
        found = detections_of(
            self.candidates(image, config.score_threshold), config, self.description.sigma
        )
        kept = found.scores >= score
        sigma = None if found.sigma is None else found.sigma[kept]
        return Detections(found.boxes[kept], found.scores[kept], found.labels[kept], sigma)

    def candidates(self, image: Bytes, score_threshold: float) -> Candidates:
        """The scored boxes of an image before suppression, in its px."""
        original = (image.shape[0], image.shape[1])
        pixels, size = network_input(image, self.description.input)
        outputs = self.dense(pixels)
        check_finite(outputs)
        boxes = self.proposals(outputs, pixels, size, original)
        head_outputs = self.head_outputs(outputs, boxes)
        check_finite(head_outputs)
        rois = rescale(boxes, size, original)
        return candidates_of(rois, head_outputs, self.description.second, original, score_threshold)

    def proposals(self, outputs: Outputs, pixels: Floats, size: Size, original: Size) -> Floats:
        """The proposals (P, 4) in network px, best first.

        Args:
            outputs: of the dense part.
            pixels: its input (1, 3, H, W).
            size: of the image in the input, without padding.
            original: of the image as it is.
        """
        first = self.description.first
        names = [f"features_{level}" for level in range(len(first.strides))]
        if self.description.second.head == "maps":
            names = ["maps_class_logits"]
        maps = [(outputs[name].shape[-2], outputs[name].shape[-1]) for name in names]
        anchors = anchors_of(first, maps, (pixels.shape[-2], pixels.shape[-1]))
        return propose(
            first,
            anchors,
            outputs["objectness"][0],
            outputs["offsets"][0],
            size=size,
            original=original,
        )

    def head_outputs(self, outputs: Outputs, boxes: Floats) -> Outputs:
        """class_logits (P, K + 1), offsets (P, K + 1, 4) and, of a network that has them,
        log_variance (P, K + 1, 4) of boxes (P, 4) in network px."""
        stage = self.description.second
        if not len(boxes):
            return without_rois(stage)
        if self.head is not None:
            levels = [outputs[f"features_{level}"][0] for level in range(len(stage.strides))]
            return self.head(pool(levels, boxes, stage))
        votes = {
            name: position_sensitive(outputs[f"maps_{name}"][0], boxes, stage.strides[0], stage)
            for name in MAPS
            if f"maps_{name}" in outputs
        }
        return {
            name: vote if name == "class_logits" else per_class(vote, stage)
            for name, vote in votes.items()
        }


def per_class(votes: Floats, stage: SecondStage) -> Floats:
    """(P, 4 * (K + 1)), or (P, 4) for all classes alike, -> (P, K + 1, 4)."""
    split = votes.reshape(len(votes), -1, 4)
    return np.broadcast_to(split, (len(votes), stage.num_classes + 1, 4))


def without_rois(stage: SecondStage) -> Outputs:
    """The outputs of no RoI at all."""
    columns = stage.num_classes + 1
    boxes = np.zeros((0, columns, 4), np.float32)
    logits = np.zeros((0, columns), np.float32)
    return {"class_logits": logits, "offsets": boxes, "log_variance": boxes}


def check_finite(outputs: Outputs) -> None:
    """Refuses outputs that are not finite.

    Raises:
        ValueError: one is not; names it.
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"The {name.replace('_', ' ')} of the image are not finite: the network has "
                "diverged; export an earlier checkpoint."
            )
