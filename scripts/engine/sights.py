"""What a network makes of a few images, stage by stage: objects, proposals, detections before and
after the vote.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.loader import test_batches
from data.records import Batch, Dataset, Detections, Sample
from experiments.records import Run
from models.decode import to_original
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.memory import evaluated_within_memory

IMAGES = 8  # that are looked at
PROPOSALS = 50  # the best ones


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One image and what the network makes of it, on the CPU, in original px.

    name: of its file. proposals: the best (P, 4); None: the network has none of its own. before,
    after: the detections without and with the vote of variances; before is None if there is no
    vote, and after if the network detects nothing.
    """

    name: str
    sample: Sample
    proposals: Tensor | None
    before: Detections | None
    after: Detections | None


def chosen_images(dataset: Dataset) -> list[int]:
    """The images that are looked at: spread evenly over those that have objects, always the same.

    Their files are not opened.
    """
    with_objects = [index for index in range(len(dataset)) if len(dataset.target(index).labels)]
    usable = with_objects or list(range(len(dataset)))
    count = min(IMAGES, len(usable))
    return [usable[place * len(usable) // count] for place in range(count)]


def sights(
    detector: Detector,
    run: Run,
    dataset: Dataset,
    indices: Sequence[int],
    config: PostprocessConfig,
    device: torch.device,
) -> Iterator[tuple[int, Sight]]:
    """Looks at images, one at a time; the training goes on unchanged.

    Args:
        detector: in training mode, and so afterwards; it makes its own proposals.
        run: the network's.
        dataset: has the images.
        indices: of the images.
        config: the post-processing, with its vote.
        device: where the network is.

    Yields:
        The place in ``indices`` and what is there to see.

    Raises:
        DataError: an image cannot be read.
        OutOfMemoryFault: it does not fit into memory.
    """
    for batch in test_batches(dataset, run.data, batch_size=1, workers=0, indices=indices):
        index = batch.indices[0]
        detector.eval()
        try:
            with evaluated_within_memory(batch, device), torch.no_grad():
                proposals, before, after = stages(detector, batch.to(device), config)
        finally:
            detector.train()
        yield (
            indices.index(index),
            Sight(
                name=dataset.name(index),
                sample=dataset[index],
                proposals=proposals,
                before=before,
                after=after,
            ),
        )


def stages(
    detector: Detector, batch: Batch, config: PostprocessConfig
) -> tuple[Tensor | None, Detections | None, Detections | None]:
    """Proposals, detections before and after the vote, of a batch of one image; see ``Sight``."""
    features = detector.features(batch)
    proposals = None
    if detector.rpn is not None:
        boxes, _ = detector.rpn.detect(features, batch, PROPOSALS)
        proposals = to_original(boxes[0], batch, 0).cpu()
    if detector.roi is None:
        return proposals, None, None
    candidates = detector.candidates(batch, config.score_threshold, features)[0]
    after = postprocess(candidates, config).to("cpu")
    if config.sigma_t == 0:
        return proposals, None, after
    return proposals, postprocess(candidates, replace(config, sigma_t=0.0)).to("cpu"), after
