"""What signals mean while worker processes make batches.

A scheduler or a terminal sends its signals to the whole process group, or to every process. They
are meant for the main process, which finishes its update and saves; a worker that died of one would
spoil that. So a worker has a process group of its own and does not hear them. It ends when the main
process says so, and when the main process is gone.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import torch

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
WATCH_S = 1.0  # seconds between two looks at whether the main process is still there
CAN_WATCH = hasattr(signal, "sigtimedwait")  # macOS cannot tell who sent a signal


@contextmanager
def signals_held() -> Iterator[None]:
    """Keeps the stop signals waiting while workers start: they begin with them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_start() -> Callable[[int], None]:
    """What each worker does first; made in the main process, whose number it holds."""
    return partial(_start_worker, main=os.getpid())


def _start_worker(worker: int, main: int) -> None:
    """Leaves the stop signals to the main process.

    One thread each is torch's own default, stated here because the workers share the machine's
    cores.
    """
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if CAN_WATCH:
        threading.Thread(target=_watch, args=(os.getppid(), main), daemon=True).start()
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    torch.set_num_threads(1)


def _watch(parent: int, main: int) -> None:
    """Ends this process at a SIGTERM of the main process, or when that is gone.

    torch and multiprocessing end workers that do not end by themselves with SIGTERM, and wait for
    them; so that one must not be ignored. SIGTERM is blocked in every thread, and taken here.

    Args:
        parent: number of the process that started this one.
        main: of the process that reads the batches, which is the parent unless there is a fork
            server.
    """
    while os.getppid() == parent:
        received = signal.sigtimedwait([signal.SIGTERM], WATCH_S)
        if received is not None and received.si_pid in (parent, main):
            break
    os._exit(0)


class DeadWorkers:
    """Lets torch's error about a dead worker arrive where a batch is fetched, and nowhere else.

    torch raises it in the handler of SIGCHLD, that is anywhere: in the middle of an update, which
    would be lost although all its images are there, or of a checkpoint. Signal handlers belong to
    the process, so there is one object for all loaders: ``DEAD_WORKERS``.
    """

    def __init__(self) -> None:
        self.raise_if_dead: Callable[[int, FrameType | None], Any] | None = None
        self.is_fetching = False
        self.is_unread = False  # a child ended while no batch was fetched

    def attend(self) -> None:
        """Takes the place of torch's handler, which a loader sets when it starts workers."""
        handler = signal.getsignal(signal.SIGCHLD)
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and callable(handler) and handler != self.note:
            self.raise_if_dead = handler
            signal.signal(signal.SIGCHLD, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handles SIGCHLD."""
        self.is_unread = True
        if self.is_fetching:
            self.check()

    def check(self) -> None:
        """Asks torch whether a worker has died.

        Raises:
            RuntimeError: one has.
        """
        if self.is_unread and self.raise_if_dead is not None:
            self.is_unread = False
            self.raise_if_dead(signal.SIGCHLD, None)

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """A block in which a dead worker is an error.

        Raises:
            RuntimeError: a worker has died.
        """
        before, self.is_fetching = self.is_fetching, True
        try:
            self.check()
            yield
        finally:
            self.is_fetching = before


DEAD_WORKERS = DeadWorkers()
