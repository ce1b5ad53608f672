"""What a network makes of a few images, stage by stage: objects, proposals, detections before and
after the vote.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.loader import test_batches
from data.records import Batch, Detections, Sample
from experiments.records import Run
from models.decode import to_original
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.memory import evaluated_within_memory
from scripts.engine.tensorboard.shown_images import Shown

PROPOSALS = 50  # the best ones


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One image and what the network makes of it, on the CPU, in original px.

    name: of its file. proposals: the best (P, 4), its own or those that it is given. before, after:
    the detections without and with the vote of variances; before is None if there is no vote, and
    after if the network detects nothing.
    """

    name: str
    sample: Sample
    proposals: Tensor
    before: Detections | None
    after: Detections | None


def sights(
    detector: Detector,
    run: Run,
    shown: Shown,
    config: PostprocessConfig,
    device: torch.device,
) -> Iterator[tuple[int, Sight]]:
    """Looks at images, one at a time; the training goes on unchanged.

    Args:
        detector: in training mode, and so afterwards.
        run: the network's.
        shown: the images.
        config: the post-processing, with its vote.
        device: where the network is.

    Yields:
        The place of the image among those that are shown, and what is there to see.

    Raises:
        DataError: an image cannot be read.
        OutOfMemoryFault: it does not fit into memory.
    """
    batches = test_batches(
        shown.dataset,
        run.data,
        batch_size=1,
        workers=0,
        proposals=shown.proposals,
        indices=shown.indices,
    )
    for batch in batches:
        index = batch.indices[0]
        detector.eval()
        try:
            with evaluated_within_memory(batch, device), torch.no_grad():
                proposals, before, after = stages(detector, batch.to(device), config)
        finally:
            detector.train()
        yield (
            list(shown.indices).index(index),
            Sight(
                name=shown.dataset.name(index),
                sample=shown.dataset[index],
                proposals=proposals,
                before=before,
                after=after,
            ),
        )


def stages(
    detector: Detector, batch: Batch, config: PostprocessConfig
) -> tuple[Tensor, Detections | None, Detections | None]:
    """Proposals, detections before and after the vote, of a batch of one image; see ``Sight``."""
    features = detector.features(batch)
    if detector.rpn is not None:
        boxes, _ = detector.rpn.detect(features, batch, PROPOSALS)
        best = boxes[0]
    else:
        assert batch.proposals is not None
        best = batch.proposals[0][:PROPOSALS]
    proposals = to_original(best, batch, 0).cpu()
    if detector.roi is None:
        return proposals, None, None
    candidates = detector.candidates(batch, config.score_threshold, features)[0]
    after = postprocess(candidates, config).to("cpu")
    if config.sigma_t == 0:
        return proposals, None, after
    return proposals, postprocess(candidates, replace(config, sigma_t=0.0)).to("cpu"), after
