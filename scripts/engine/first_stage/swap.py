"""Takes two region proposal networks apart: the boxes of one, ranked by the other's objectness.

Both start from the same anchors, so this can be done; the anchors themselves, unmoved, are ranked
by each as well.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from data.config import DataConfig
from data.loader import test_batches
from data.records import Batch, Dataset, Proposals, Target
from data.sampler import in_order
from data.scoring.proposal_recall import recall
from experiments.records import Table
from models.decode import to_original
from models.detector import Detector
from models.rpn import RegionProposalNetwork
from models.rpn_head import RPNOutput
from scripts.engine.environment import Environment, open_dataset, pick_device, scaled_run
from scripts.engine.evaluation.results import seed_header
from scripts.engine.evaluation.scoring import clean_targets
from scripts.engine.files import json_safe
from scripts.engine.places import TablePlace
from scripts.engine.run_folder.starts import training_commit
from scripts.engine.trained.trained import BATCH, TrainedRun, trained_detector, trained_run

UNMOVED = "the anchors"
# of a DataConfig: what decides which pixels and which anchors a network sees in a test image
IMAGE_FIELDS = ("pixels", "short_side", "long_side", "size_divisor")

Combination = tuple[str, str]  # whose objectness ranks, whose boxes


def measure_swapped(
    table: Table,
    place: TablePlace,
    environment: Environment,
    seeds: int,
    *,
    count: int,
    ious: Sequence[float],
) -> list[dict[str, Any]]:
    """The recall of every combination with each seed.

    Args:
        table: its first two rows are the networks.
        place: of the table.
        environment: of the command.
        seeds: how many, from 0.
        count: proposals an image.
        ious: overlaps at which an object counts as found.

    Raises:
        ValueError: if a network is not trained.
    """
    first = scaled_run(table.rows[0].run, environment)
    dataset = open_dataset(first, environment, first.data.test)
    results = []
    for seed in range(seeds):
        detectors, data = both_detectors(table, place, environment, seed, dataset)
        scores = measure(detectors, dataset, environment, data, count=count, ious=ious)
        header = seed_header(place, environment, seed)
        commits = commits_of(table, place, environment, seed)
        results.append({**header, **commits, "recall": json_safe(scores)})
    return results


def commits_of(
    table: Table, place: TablePlace, environment: Environment, seed: int
) -> dict[str, str]:
    """{"training_commit"}: at which the two networks were trained; {} if it is not recorded."""
    runs = [scaled_run(row.run, environment) for row in table.rows[:2]]
    starts = [place.run_place(run, seed).starts for run in runs]
    known = {commit for commit in map(training_commit, starts) if commit is not None}
    return {"training_commit": ", ".join(sorted(known))} if known else {}


def both_detectors(
    table: Table, place: TablePlace, environment: Environment, seed: int, dataset: Dataset
) -> tuple[dict[str, Detector], DataConfig]:
    """The two networks by their rows' labels, and how they want their images.

    Raises:
        ValueError: if one is not trained, or they want their images in different ways.
    """
    networks: dict[str, TrainedRun] = {}
    for row in table.rows[:2]:
        run = scaled_run(row.run, environment)
        run_place = place.run_place(run, seed)
        trained = trained_run(run, run_place, dataset, unfinished=environment.unfinished)
        if trained is None:
            raise ValueError(
                f"There is no trained network of {run.name}, seed {seed}, below "
                f"{environment.out}; run experiments/{place.name}/train.sh first."
            )
        networks[row.label] = trained
    device = pick_device(environment.device)
    detectors = {label: trained_detector(trained, device) for label, trained in networks.items()}
    return detectors, common_images(networks)


def common_images(networks: Mapping[str, TrainedRun]) -> DataConfig:
    """How two networks want their images, which must be the same for both.

    Raises:
        ValueError: it is not; names what differs.
    """
    first, second = (trained.run.data for trained in networks.values())
    for name in IMAGE_FIELDS:
        theirs = getattr(first, name), getattr(second, name)
        if theirs[0] != theirs[1]:
            raise ValueError(
                f"{' and '.join(networks)} see different images: {name} is {theirs[0]!r} and "
                f"{theirs[1]!r}, so they have no anchors in common; train both from the same "
                "weights and at the same size."
            )
    return first


def measure(
    detectors: Mapping[str, Detector],
    dataset: Dataset,
    environment: Environment,
    data: DataConfig,
    *,
    count: int,
    ious: Sequence[float],
) -> dict[str, Any]:
    """The recall of each combination, against the clean boxes where they are known.

    Returns:
        {"RPN ranks, boxes of KL-RPN": {"0.5": recall, %, ...}, ...}.
    """
    targets: list[Target] = [dataset.target(i) for i in range(len(dataset))]
    targets = clean_targets(targets) or targets
    proposals: dict[Combination, list[Proposals]] = defaultdict(list)
    device = pick_device(environment.device)
    indices: list[int] = []
    for batch in test_batches(dataset, data, batch_size=BATCH, workers=environment.workers):
        indices += batch.indices
        for combination, images in swapped(detectors, batch.to(device), count):
            proposals[combination] += images
    scores = {}
    for (ranking, boxes), images in proposals.items():
        recalls = recall(in_order(images, indices), targets, counts=(count,), ious=ious)
        scores[f"{ranking} ranks, boxes of {boxes}"] = recalls[f"recall@{count}"]
    return scores


def combinations(labels: Sequence[str]) -> list[Combination]:
    """Each network alone, each with the other's boxes, each with the anchors."""
    first, second = labels
    return [
        (first, first),
        (second, second),
        (first, second),
        (second, first),
        (first, UNMOVED),
        (second, UNMOVED),
    ]


@torch.no_grad()
def swapped(
    detectors: Mapping[str, Detector], batch: Batch, count: int
) -> Iterator[tuple[Combination, list[Proposals]]]:
    """The best ``count`` proposals of each image for each of ``combinations``."""
    networks = {label: region_proposals(detector) for label, detector in detectors.items()}
    predictions = {
        label: networks[label](detector.features(batch), batch.padded_size)
        for label, detector in detectors.items()
    }
    for ranking, boxes in combinations(list(detectors)):
        ranked = predictions[ranking]
        if boxes == UNMOVED:
            offsets, network = torch.zeros_like(ranked.output.offsets), networks[ranking]
        else:
            offsets, network = predictions[boxes].output.offsets, networks[boxes]
        output = RPNOutput(ranked.output.objectness, offsets)
        pre_nms, _ = network.test_counts
        kept, objectness = network.propose(ranked._replace(output=output), batch, (pre_nms, count))
        yield (
            (ranking, boxes),
            [
                Proposals(boxes=to_original(kept[i], batch, i), objectness=objectness[i]).to("cpu")
                for i in range(len(kept))
            ],
        )


def region_proposals(detector: Detector) -> RegionProposalNetwork:
    """The first stage of a detector that has one."""
    assert detector.rpn is not None
    return detector.rpn
