"""TensorBoard's files of a training, which are switched off when they cannot be written."""

import threading
from collections.abc import Callable
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

WRITER_THREAD = "_AsyncWriterThread"  # of tensorboard


class ScalarLog:
    """Scalars for TensorBoard; a disk that is full ends the log, with one warning, and nothing
    else.

    TensorBoard writes in a thread, and its error comes out of a later call.

    Args:
        folder: of the files; None: nothing is written.
        start: updates that are made already; scalars from there on are written anew.
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
            self.writer = SummaryWriter(str(folder), purge_step=start)
        except OSError as error:
            self.switch_off(error)

    def add(self, name: str, value: float, step: int) -> None:
        """Writes one scalar, unless the log has ended."""
        if self.writer is None:
            return
        try:
            self.writer.add_scalar(name, value, step)
        except OSError as error:
            self.switch_off(error)

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
        if self.writer is not None:
            try:
                self.writer.close()
            except OSError as error:
                self.switch_off(error)
        threading.excepthook = self.hook
