"""The images of a training that TensorBoard shows, with proposals where the network makes none."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from data.formats.saved_proposals import SavedProposals, saved_proposals
from data.loader import test_batches
from data.records import Dataset, Proposals
from data.sampler import spread_evenly
from experiments.records import Run
from scripts.engine.environment import Environment, open_dataset, pick_device
from scripts.engine.memory import OutOfMemoryFault, evaluated_within_memory, in_words
from scripts.engine.places import RunPlace
from scripts.engine.trained.proposals import given_proposals, proposing_run
from scripts.engine.trained.trained import TrainedRun, trained_detector, trained_run

IMAGES = 8  # that are shown


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Some labeled images of a data set, always the same.

    indices: of the images. proposals: of these images, for a Fast R-CNN; None: the network has a
    region proposal network.
    """

    dataset: Dataset
    indices: Sequence[int]
    proposals: SavedProposals | None = None


def chosen_images(dataset: Dataset) -> list[int]:
    """The images that are shown: spread evenly over those that have objects, always the same.

    Their files are not opened.
    """
    with_objects = [index for index in range(len(dataset)) if len(dataset.target(index).labels)]
    return spread_evenly(with_objects or range(len(dataset)), IMAGES)


def open_shown(run: Run, place: RunPlace, environment: Environment) -> Shown | None:
    """The shown test images of a run of the papers; None if there are no proposals for them.

    Args:
        run: at the scale and on the data of the command.
        place: where it is kept.
        environment: of the command.

    Raises:
        ValueError: the proposals cannot be had, though they are named.
        DataError: an image or a file of proposals cannot be read.
    """
    dataset = open_dataset(run, environment, run.data.test)
    indices = chosen_images(dataset)
    if not run.proposals:
        return Shown(dataset=dataset, indices=indices)
    if environment.proposals is not None:
        if not environment.proposals.partition(":")[2]:
            return None
        proposals = given_proposals(environment.proposals, "test")
        return Shown(dataset=dataset, indices=indices, proposals=proposals)
    _, proposing, proposing_place = proposing_run(run, place, environment)
    trained = trained_run(proposing, proposing_place, dataset, unfinished=environment.unfinished)
    if trained is None:
        return None
    proposals = proposals_of_images(trained, dataset, indices, environment)
    return Shown(dataset=dataset, indices=indices, proposals=proposals)


@torch.no_grad()
def proposals_of_images(
    trained: TrainedRun, dataset: Dataset, indices: Sequence[int], environment: Environment
) -> SavedProposals:
    """What a trained region proposal network proposes on these images.

    Unlike the proposals of a whole data set they are computed by this process alone, and not kept.
    """
    device = pick_device(environment.device)
    with in_words(OutOfMemoryFault, lambda: f"{trained.checkpoint} does not fit into {device}."):
        detector = trained_detector(trained, device)
    count = trained.run.model.rpn.post_nms_test
    found: dict[int, Proposals] = {}
    for batch in test_batches(dataset, trained.run.data, batch_size=1, workers=0, indices=indices):
        with evaluated_within_memory(batch, device):
            found[batch.indices[0]] = detector.proposals(batch.to(device), count)[0].to("cpu")
    return saved_proposals(
        str(trained.checkpoint),
        [dataset.image_ids[index] for index in indices],
        [found[index] for index in indices],
    )
