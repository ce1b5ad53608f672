"""TensorBoard's files of a training, which are switched off when they cannot be written.

The x axis of everything is the number of updates that are made.
"""

import io
import threading
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from data.scoring.score_curve import ScoreCurve

WRITER_THREAD = "_AsyncWriterThread"  # of tensorboard
JPEG_QUALITY = 80


class EventLog:
    """What TensorBoard shows; a disk that is full ends the log, with one warning, and nothing else.

    TensorBoard writes in a thread, and its error comes out of a later call.

    Args:
        folder: of the files; None: nothing is written.
        start: updates that are made already; what was shown of later ones, which were lost with a
            crash, is dropped, so that nothing is there twice.
        warn: is told, once, that the log has ended.
    """

    def __init__(self, folder: Path | None, *, start: int, warn: Callable[[str], None]) -> None:
        self.folder, self.warn = folder, warn
        self.writer: SummaryWriter | None = None
        self.hook = threading.excepthook
        threading.excepthook = self.thread_failed
        if folder is None:
            return
        try:
            self.writer = SummaryWriter(str(folder), purge_step=start + 1)
        except OSError as error:
            self.switch_off(error)

    @property
    def is_written(self) -> bool:
        """Whether what is added is kept: by the first process, until the disk is full."""
        return self.writer is not None

    def add(self, name: str, value: float, updates: int) -> None:
        """Writes one scalar."""
        self.write(lambda writer: writer.add_scalar(name, value, updates))

    def add_histogram(self, name: str, values: Tensor, updates: int) -> None:
        """Writes the distribution of values (n,), at least one of them, all finite."""
        self.write(lambda writer: writer.add_histogram(name, values.numpy(), updates))

    def add_text(self, name: str, markdown: str, updates: int) -> None:
        """Writes a page."""
        self.write(lambda writer: writer.add_text(name, markdown, updates))

    def add_curve(self, name: str, curve: ScoreCurve, updates: int) -> None:
        """Writes a precision-recall curve, with the counts at each score threshold."""
        counts = (curve.right, curve.wrong, 0 * curve.right, curve.missed)
        right, wrong, none, missed = (count.numpy() for count in counts)
        precision, recall = curve.precision.numpy(), curve.recall.numpy()
        thresholds = len(curve.right)
        self.write(
            lambda writer: writer.add_pr_curve_raw(
                name, right, wrong, none, missed, precision, recall, updates, thresholds
            )
        )

    def add_picture(self, name: str, picture: Image.Image, updates: int) -> None:
        """Writes an RGB picture, as JPEG: of a photo PNG is ten times as large."""
        file = io.BytesIO()
        picture.save(file, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
        image = Summary.Image(
            height=picture.height,
            width=picture.width,
            colorspace=3,
            encoded_image_string=file.getvalue(),
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self.write(lambda writer: writer._get_file_writer().add_summary(summary, updates))

    def write(self, add: Callable[[SummaryWriter], None]) -> None:
        """Adds something, unless the log has ended."""
        if self.writer is None:
            return
        try:
            add(self.writer)
        except OSError as error:
            self.switch_off(error)

    def flush(self) -> None:
        """Writes what still waits: what a checkpoint is after is not shown anew."""
        self.write(lambda writer: writer.flush())

    def switch_off(self, error: OSError) -> None:
        """Ends the log and says why."""
        self.writer = None
        self.warn(
            f"warning: {self.folder} cannot be written ({error}); TensorBoard shows nothing more "
            "of this training, which goes on."
        )

    def thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """Leaves out the traceback of TensorBoard's thread: its error is our warning."""
        if type(failure.thread).__name__ != WRITER_THREAD:
            self.hook(failure)

    def close(self) -> None:
        """Writes what still waits, if that is possible."""
        self.write(lambda writer: writer.close())
        threading.excepthook = self.hook
