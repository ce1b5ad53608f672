"""Test sets with their labels, each opened once for all networks and seeds that need it."""

from dataclasses import dataclass

from data.formats.masks import Rle
from data.records import Dataset, Target
from experiments.records import Run
from scripts.engine.environment import Environment, open_dataset


@dataclass(frozen=True, kw_only=True)
class LabeledDataset:
    """A data set to score on.

    targets: of each image, or of the first ones. segments: the masks of the targets as RLEs, for
    mask AP; None where none are scored.
    """

    dataset: Dataset
    targets: list[Target]
    segments: list[list[Rle]] | None = None


class LabeledDatasets:
    """The test sets of runs, opened when they are first asked for.

    Args:
        environment: where the data are.
        images: how many images, from the first, get their targets; None: all.
    """

    def __init__(self, environment: Environment, images: int | None = None) -> None:
        self.environment, self.images = environment, images
        self.opened: dict[tuple[str, str, bool], LabeledDataset] = {}

    def of(self, run: Run) -> LabeledDataset:
        """The test set of a run at its scale."""
        key = (run.data.layout, run.data.test, run.model.mask is not None)
        if key not in self.opened:
            dataset = open_dataset(run, self.environment, run.data.test)
            count = len(dataset) if self.images is None else min(self.images, len(dataset))
            segments = None
            if run.model.mask is not None:
                segments = [dataset.segments(i) for i in range(count)]
            self.opened[key] = LabeledDataset(
                dataset=dataset,
                targets=[dataset.target(i) for i in range(count)],
                segments=segments,
            )
        return self.opened[key]
