"""What TensorBoard shows of a training beside its scalars: histograms, pictures, curves, settings.

Of several processes the first one shows it. Nothing of it changes what is trained, and nothing of
it ends a training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from data.errors import DataError
from data.scoring.score_curve import score_curve
from scripts.engine.command import EnvironmentFault
from scripts.engine.detection.detection import choose_postprocess
from scripts.engine.evaluation.hparams import run_settings, write_settings
from scripts.engine.memory import evaluated_within_memory
from scripts.engine.shared_batch import SharedBatch
from scripts.engine.tensorboard.budget import Budget
from scripts.engine.tensorboard.distributions import distributions
from scripts.engine.tensorboard.histograms import HISTOGRAMS_EVERY, Histograms
from scripts.engine.tensorboard.shown_images import Shown
from scripts.engine.tensorboard.sight_pictures import picture_of_sight
from scripts.engine.tensorboard.sights import sights
from scripts.engine.tensorboard.validation_figures import ap_over_iou, reliability
from scripts.engine.training.progress import Progress
from scripts.engine.training.run_page import run_page
from scripts.engine.training.state import Training
from scripts.engine.training.validation import Validated

LOOKS = 10  # at the images, in a training without validation
SHARE = 0.015  # of the time, for pictures and curves
FIRST_S = 0.5
CURVE_IOUS = (0.5, 0.75)
CURVE_CLASSES = 10  # those with the most objects have a curve of their own


class Board:
    """Shows histograms, pictures and curves of a training.

    Args:
        training: whose network is shown.
        progress: of the training, with the log.
    """

    def __init__(self, training: Training, progress: Progress) -> None:
        self.training, self.progress, self.log = training, progress, progress.log
        self.histograms = Histograms(progress.log)
        self.budget = Budget(SHARE, first_s=FIRST_S)
        self.has_failed = False
        if self.log.is_written:
            self.log.add_text("run", run_page(training), training.start + 1)

    @property
    def is_shown(self) -> bool:
        """Whether anything of it would be kept."""
        return self.log.is_written and not self.has_failed

    @cached_property
    def shown(self) -> Shown | None:
        """The images that are looked at, opened once; None if there are none."""
        return None if self.training.shown is None else self.training.shown()

    @contextmanager
    def without_harm(self) -> Iterator[None]:
        """A block whose failure ends the board, with a warning, and not the training."""
        try:
            yield
        except (DataError, EnvironmentFault, OSError, ValueError) as error:
            self.has_failed = True
            self.progress.say(
                f"warning: TensorBoard gets no more histograms and pictures of this training, "
                f"which goes on: {error}"
            )

    def updated(self, done: int, batch: SharedBatch) -> None:
        """After an update: writes what was copied during it, and looks if it is time to.

        Args:
            done: updates that are made.
            batch: of the newest, on the network's device.
        """
        if not self.is_shown:
            return
        self.histograms.write()
        if (done - 1) % HISTOGRAMS_EVERY == 0:
            self.take_histograms(done, batch)
        total = self.training.run.train.iterations
        if self.training.validation is None and is_look_due(done, total) and self.budget.allows:
            with self.budget.spending(), self.without_harm():
                self.look(done)

    def take_histograms(self, done: int, batch: SharedBatch) -> None:
        """Computes the histograms for the first micro-batch of this process, without waiting."""
        training = self.training
        part = batch.split(training.splitting.parts)[0]
        with self.without_harm(), evaluated_within_memory(part, training.device):
            values = distributions(training.detector, part, training.amp)
            self.histograms.take(values, done)

    def validated(self, done: int, validated: Validated) -> None:
        """After a validation: its curves and pictures, if there is time for them.

        Args:
            done: updates that are made.
            validated: what was found; the scores are in the last line of ``training.metrics``.
        """
        if self.is_shown and self.budget.allows:
            with self.budget.spending(), self.without_harm():
                self.add_curves(done, validated)
                lines = self.training.metrics
                self.log.add_picture("validation/AP_over_IoU", ap_over_iou(lines), done)
                diagrams = reliability(validated.detections, validated.targets)
                self.log.add_picture("validation/reliability", diagrams, done)
                self.look(done)

    def add_curves(self, done: int, validated: Validated) -> None:
        """Precision and recall over the score, of all classes and of the most frequent ones."""
        detections, targets = validated.detections, validated.targets
        for iou in CURVE_IOUS:
            curve = score_curve(detections, targets, iou)
            self.log.add_curve(f"precision_recall/all_IoU_{iou:g}", curve, done)
        for label in frequent_labels(validated):
            curve = score_curve(
                [image.select(image.labels == label) for image in detections],
                [target.select(target.labels == label) for target in targets],
                CURVE_IOUS[0],
            )
            name = self.training.classes[label - 1]
            self.log.add_curve(f"precision_recall_by_class/{name}", curve, done)

    def look(self, done: int) -> None:
        """Shows what the network makes of the same images each time."""
        training = self.training
        if self.shown is None:
            return
        config = choose_postprocess(training.run)
        seen = sights(training.detector, training.run, self.shown, config, training.device)
        for place, sight in seen:
            picture = picture_of_sight(sight, training.classes)
            self.log.add_picture(f"images/{place + 1}_{sight.name}", picture, done)

    def close(self) -> None:
        """Writes what was copied last."""
        if self.is_shown:
            self.histograms.write()

    def finish(self) -> None:
        """Writes the settings of a training that has come to its end, for the hparams tab."""
        place = self.training.place
        if self.is_shown:
            with self.without_harm():
                write_settings(place.tensorboard, run_settings(self.training.run, place))


def is_look_due(done: int, total: int) -> bool:
    """Whether a training without validation looks at the images after ``done`` updates."""
    return done * LOOKS // total != (done - 1) * LOOKS // total


def frequent_labels(validated: Validated) -> list[int]:
    """The labels 1..K of the classes that have a curve of their own, ascending."""
    counts: dict[int, int] = {}
    for target in validated.targets:
        for label in target.labels.tolist():
            counts[label] = counts.get(label, 0) + 1
    return sorted(sorted(counts, key=lambda label: -counts[label])[:CURVE_CLASSES])
