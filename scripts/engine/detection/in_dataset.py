"""The detections of a network on every image of a data set, by one forward pass each.

Several processes share the images, and each gets all detections.
"""

from dataclasses import replace

import torch

from data.formats.saved_proposals import SavedProposals
from data.loader import test_batches
from data.records import Dataset, Detections
from experiments.records import Run
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.evaluation.refinement import (
    RowDetections,
    add_images,
    images_in_order,
    no_detections,
)
from scripts.engine.memory import evaluated_within_memory
from scripts.engine.processes import joined_lists, share
from scripts.engine.trained.trained import BATCH


def detect_dataset(
    detector: Detector,
    run: Run,
    dataset: Dataset,
    config: PostprocessConfig,
    *,
    device: torch.device,
    workers: int = 0,
    proposals: SavedProposals | None = None,
    with_unvoted: bool = False,
) -> RowDetections:
    """The detections of every image, on the CPU, in the order of the data set.

    Args:
        detector: on ``device``, in eval mode.
        run: the network's; its data say how large images are in the network.
        dataset: the images.
        config: the post-processing; candidates below its ``score_threshold`` are left out.
        device: where the network is.
        workers: processes that read images; changes no result.
        proposals: of these images, for a Fast R-CNN.
        with_unvoted: whether to keep the boxes before the vote as well, if there is one.

    Returns:
        the detections and, from a network with a mask head, their masks.

    Raises:
        DataError: there is no image, or one cannot be read.
        OutOfMemoryFault: a batch does not fit into memory.
    """
    results = no_detections(with_masks=detector.mask is not None)
    unvoted: list[Detections] | None = [] if with_unvoted and config.sigma_t > 0 else None
    indices: list[int] = []
    with torch.no_grad():
        batches = test_batches(
            dataset,
            run.data,
            batch_size=BATCH,
            workers=workers,
            proposals=proposals,
            share=share(),
        )
        for batch in batches:
            indices += batch.indices
            with evaluated_within_memory(batch, device):
                batch = batch.to(device)
                features = detector.features(batch)
                candidates = detector.candidates(batch, config.score_threshold, features)
                add_images(results, detector, features, batch, postprocess(candidates, config))
                if unvoted is not None:
                    before = postprocess(candidates, replace(config, sigma_t=0.0))
                    unvoted += [image.to("cpu") for image in before]
    return images_in_order(replace(results, unvoted=unvoted), joined_lists(indices))
