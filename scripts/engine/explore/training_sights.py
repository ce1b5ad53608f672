"""What training makes of one image: its versions, its anchors, its RoIs.

Everything is what the training loop itself computes: the reader's augmentation, the sampled
anchors of models/rpn.py and the sampled RoIs of models/roi.py, with draws of the same kind.
Letters: A anchors, R sampled RoIs, G objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.reader import ImageReader, NetworkImage, is_trained_on
from data.records import Batch, Sample, Target
from data.sampler import batch_short_side, draw_seeds
from data.training_batches import image_draw
from data.transforms import PIXELS, visible
from models.matching import IGNORED, NEGATIVE, POSITIVE
from models.rpn import AnchorPredictions, RegionProposalNetwork
from scripts.engine.explore.explored import SEED, Explored

VERSIONS = 3  # of an image, as training sees them
EPOCHS = 8  # that are looked through for versions that differ


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of an image that the network is trained on.

    image (3, h, w) uint8; target: in network px.
    """

    image: Tensor
    target: Target
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class AnchorSight:
    """The anchors of one version of an image.

    boxes (A, 4) network px; group (A,): of ``names``, a level or a size; positive, negative (A,)
    bool: sampled ones; labels (A,): of all anchors, before any is sampled; inside (A,) bool.
    """

    boxes: Tensor
    group: Tensor
    names: Sequence[str]
    positive: Tensor
    negative: Tensor
    labels: Tensor
    inside: Tensor

    @property
    def between(self) -> Tensor:
        """(A,) bool: ignored because their overlap is neither large nor small."""
        return self.inside & (self.labels == IGNORED)

    def counts(self) -> list[list[int]]:
        """A line a group: inside the image, positive, of these sampled, sampled negatives, ignored
        for their overlap, and left out because they cross the boundary.
        """
        columns = (
            self.inside,
            self.labels == POSITIVE,
            self.positive,
            self.negative,
            self.between,
            ~self.inside,
        )
        places = range(len(self.names))
        return [[int((mask & (self.group == k)).sum()) for mask in columns] for k in places]

    @property
    def negatives(self) -> int:
        """How many anchors are negative before sampling."""
        return int((self.labels == NEGATIVE).sum())


@dataclass(frozen=True, kw_only=True)
class RoISight:
    """The sampled RoIs of one version of an image.

    boxes (R, 4) network px; labels (R,): 0 for background; target_boxes (R, 4): the object that
    each foreground RoI moves towards; proposals: how many boxes they were drawn from, the labels
    among them.
    """

    boxes: Tensor
    labels: Tensor
    target_boxes: Tensor
    proposals: int


@dataclass(frozen=True, kw_only=True)
class TrainingSight:
    """One image, and what training makes of it, on the CPU.

    trained (G,) bool: the objects of ``sample`` that are trained on. anchors, rois: of the first
    version; rois is None without a second stage.
    """

    name: str
    sample: Sample
    trained: Tensor
    versions: Sequence[Version]
    anchors: AnchorSight
    rois: RoISight | None


def training_sight(explored: Explored, index: int) -> TrainingSight:
    """Looks at one training image.

    Raises:
        DataError: it cannot be read.
        ValueError: the network's outputs are not finite.
    """
    run = explored.run
    reader = ImageReader(dataset=explored.dataset, config=run.data, proposals=None)
    sample = explored.dataset[index]
    drawn = list(different_versions(reader, index))
    first = drawn[0][0]
    batch = reader.collate([first]).unpack()
    batch = replace(batch, draw_seeds=draw_seeds(SEED, 0, [0])).to(explored.device)
    with torch.no_grad():
        anchors, rois = network_sights(explored, batch)
    return TrainingSight(
        name=explored.dataset.name(index),
        sample=sample,
        trained=is_trained_on(sample.target.crowd, sample.target.difficult, run.data),
        versions=[version_of(image, mirrored, run.data.pixels) for image, mirrored in drawn],
        anchors=anchors,
        rois=rois,
    )


def different_versions(reader: ImageReader, index: int) -> Iterator[tuple[NetworkImage, bool]]:
    """The first VERSIONS that differ of an image in its first epochs, and whether each is mirrored.

    Where images have several sizes, epoch k has that of batch k.
    """
    config, seen = reader.config, list[Tensor]()
    for epoch in range(EPOCHS):
        draw, mirror = image_draw(config, SEED, epoch, index)
        side = batch_short_side(config, SEED, epoch)
        read = reader.read_training(index, short_side=side, mirror=mirror, draw=draw)
        if not any(torch.equal(read.image, other) for other in seen):
            seen.append(read.image)
            yield read, mirror
        if len(seen) == VERSIONS:
            return


def version_of(read: NetworkImage, mirrored: bool, pixels: str) -> Version:
    """A version to be looked at."""
    assert read.target is not None
    image = visible(read.image, PIXELS[pixels])
    return Version(image=image, target=read.target, mirrored=mirrored)


def network_sights(explored: Explored, batch: Batch) -> tuple[AnchorSight, RoISight | None]:
    """Anchors and RoIs of a batch of one image."""
    detector = explored.detector
    assert detector.rpn is not None
    predictions = detector.rpn(detector.features(batch), batch.padded_size)
    anchors = anchor_sight(detector.rpn, predictions, batch, explored.run.model.rpn.anchor_sizes)
    if detector.roi is None:
        return anchors, None
    proposals, _ = detector.rpn.propose(predictions, batch, detector.rpn.train_counts)
    targets = detector.roi.sample(proposals, batch)
    assert batch.targets is not None
    assert targets.gt_index is not None
    filled = targets.labels[0] >= 0
    boxes, labels = targets.boxes[0, filled], targets.labels[0, filled]
    objects = batch.targets[0].boxes
    matched = objects[targets.gt_index[0, filled]] if len(objects) else boxes
    rois = RoISight(
        boxes=boxes.cpu(),
        labels=labels.cpu(),
        target_boxes=matched.cpu(),
        proposals=len(proposals[0]) + len(objects),
    )
    return anchors, rois


def anchor_sight(
    rpn: RegionProposalNetwork,
    predictions: AnchorPredictions,
    batch: Batch,
    sizes: Sequence[float],
) -> AnchorSight:
    """The anchors of a batch of one image, those that are sampled among them."""
    assert batch.targets is not None
    anchors, size = predictions.anchors, batch.image_sizes[0]
    targets = rpn.targets(predictions, batch)
    labels, _ = rpn.labels(anchors, batch.targets[0].boxes, size)
    if len(predictions.levels) > 1:
        parts = [torch.full((count,), k) for k, count in enumerate(predictions.levels)]
        group = torch.cat(parts)
        names = [f"level {k} ({size:g} px)" for k, size in enumerate(sizes, start=1)]
    else:
        group = torch.arange(len(anchors)) % len(sizes)
        names = [f"{size:g} px" for size in sizes]
    return AnchorSight(
        boxes=anchors.cpu(),
        group=group,
        names=names,
        positive=targets.positive[0].cpu(),
        negative=targets.negative[0].cpu(),
        labels=labels.cpu(),
        inside=rpn.usable(anchors, size).cpu(),
    )
