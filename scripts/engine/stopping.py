"""Signals during a training: the update that is under way is finished and saved.

SIGTERM comes from schedulers and `kill`, SIGINT from Ctrl-C, SIGHUP from a terminal that closes,
and SIGUSR1 from SLURM before the time is over. All mean the same.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from data.worker_signals import STOP_SIGNALS
from scripts.engine.command import EndedAtOnce

IMPATIENT = (signal.SIGTERM, signal.SIGINT)  # the second of these does not wait
SAME_S = 1.0  # signals within this time are one: schedulers and launchers send it on to each other


class StopSignals:
    """Answers the stop signals as long as its block lasts.

    received: whether there was one, so that the training is to end after the update.
    """

    def __init__(self) -> None:
        self.received = False
        self.received_at = 0.0  # seconds of the monotonic clock
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        self.before = set_handlers(self.note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        restore_handlers(self.before)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remembers a signal. The second one does not wait for the update to end.

        Args:
            number: of the signal.
            frame: where the process was; not used.

        Raises:
            EndedAtOnce: at a second SIGTERM or SIGINT that is not the first one sent again.
        """
        if not self.received:
            self.received, self.received_at = True, time.monotonic()
        elif number in IMPATIENT and time.monotonic() - self.received_at > SAME_S:
            raise EndedAtOnce


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """A block that every stop signal ends as Ctrl-C does, for the time when nothing is unsaved."""
    before = set_handlers(interrupt)
    try:
        yield
    finally:
        restore_handlers(before)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handles a signal as Python handles Ctrl-C.

    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt


def set_handlers(handler: Any) -> dict[signal.Signals, Any]:
    """Sets the handler of every stop signal and returns those before.

    A SIGHUP that is ignored stays so: that is what nohup asks for.
    """
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, handler)
    return before


def restore_handlers(before: dict[signal.Signals, Any]) -> None:
    """Sets the handlers that ``set_handlers`` returned; None was not set by Python."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
