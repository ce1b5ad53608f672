"""The batch of an update, of which each process has a share: what they must know of each other."""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from data.errors import DataError
from data.records import Batch
from scripts.engine.processes import Report, are_several, exchanged


@dataclass(frozen=True, kw_only=True)
class SharedBatch:
    """This process's share of a batch, padded as the whole batch is.

    of_images: the images of all processes. most_images: of one process. skipped: the images that
    one of them could not read.
    """

    own: Batch
    of_images: int
    most_images: int
    skipped: int = 0

    def to(self, device: torch.device | str) -> "SharedBatch":
        return replace(self, own=self.own.to(device))

    def split(self, parts: int) -> tuple[Batch, ...]:
        """At most ``parts`` micro-batches, in every process the same number.

        A process with fewer images repeats its last micro-batch, which then does not count.
        """
        size = -(-self.most_images // parts)
        pieces = self.own.split(-(-len(self.own.images) // size))
        missing = -(-self.most_images // size) - len(pieces)
        return pieces + (replace(pieces[-1], is_stand_in=True),) * missing


def agreed(batch: Batch | None, fault: DataError | None, *, wants_stop: bool) -> SharedBatch | None:
    """What all processes do next: an update on this batch, or None, to stop.

    Args:
        batch: this process's share; None if there is none.
        fault: why not; None: there is a batch, or this process wants to stop.
        wants_stop: whether a signal has arrived here.

    Raises:
        DataError: a process has no batch because of a fault.
    """
    height, width = (0, 0) if batch is None else batch.padded_size
    images = 0 if batch is None else batch.counted_images
    reports = exchanged(
        Report(
            wants_stop=wants_stop,
            has_failed=fault is not None,
            images=images,
            skipped=0 if batch is None else len(batch.skipped),
            height=height,
            width=width,
        )
    )
    if fault is not None:
        raise fault
    failed = [rank for rank, report in enumerate(reports) if report.has_failed]
    if failed:
        raise DataError(f"Process {failed[0]} cannot read its images; it says which.")
    if batch is None or any(report.wants_stop for report in reports):
        return None
    if are_several():
        down = max(report.height for report in reports) - height
        right = max(report.width for report in reports) - width
        if down or right:
            batch = replace(batch, images=F.pad(batch.images, (0, right, 0, down)))
    return SharedBatch(
        own=batch,
        of_images=sum(report.images for report in reports),
        most_images=max(len(batch.images), *(report.images for report in reports)),
        skipped=sum(report.skipped for report in reports),
    )
