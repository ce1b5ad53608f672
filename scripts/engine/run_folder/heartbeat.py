"""Signs of life of several processes: files that say where each of them is.

When one hangs, the others see it only by waiting in vain; these files say which one it is.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from data.sampler import Share
from scripts.engine.command import EnvironmentFault, LostProcess
from scripts.engine.files import write_atomically

EVERY_S = 30.0
FOLDER = "heartbeats"  # in the folder of a run


@dataclass(kw_only=True)
class Heartbeat:
    """Where this process is.

    path: of its file; None for a process that is alone. share: its number. doing: in words. since:
    when it began that, seconds of time.time().
    """

    path: Path | None
    share: Share
    doing: str = "starting"
    since: float = field(default_factory=time.time)

    def now(self, doing: str) -> None:
        """Notes what this process does from now on; a thread writes it now and then."""
        self.doing, self.since = doing, time.time()

    def write(self) -> None:
        """Writes the file; a disk that is full ends no training."""
        if self.path is None:
            return
        beat = {
            "process": self.share.rank,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "doing": self.doing,
            "since": self.since,
            "time": time.time(),
        }
        with suppress(OSError, EnvironmentFault):
            write_atomically(self.path, json.dumps(beat))

    @contextmanager
    def beating(self) -> Iterator[None]:
        """A block in which a thread writes the file now and then; it goes with a good end.

        Raises:
            LostProcess: another process is gone or does not answer, with what each did last.
        """
        if self.path is None:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        except LostProcess as error:
            raise LostProcess(f"{error} {last_signs(self.path.parent)}") from error
        finally:
            ended.set()
            thread.join()
        self.path.unlink(missing_ok=True)
        with suppress(OSError):  # the last one removes the folder
            self.path.parent.rmdir()

    def _beat(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self.write()
            ended.wait(EVERY_S)


def heartbeat(folder: Path, share: Share) -> Heartbeat:
    """The heartbeat of this process in the folder of a run."""
    path = folder / FOLDER / f"process-{share.rank}.json" if share.of > 1 else None
    return Heartbeat(path=path, share=share)


def last_signs(folder: Path) -> str:
    """What each process did when it last wrote its file, in words."""
    signs = []
    for path in sorted(folder.glob("process-*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            beat = json.loads(path.read_text(encoding="utf-8"))
            ago, long = time.time() - beat["time"], beat["time"] - beat["since"]
            signs.append(
                f"process {beat['process']} (number {beat['pid']} on {beat['host']}) was "
                f"{beat['doing']} for {long:.0f} s, {ago:.0f} s ago"
            )
    return f"Last signs of life: {'; '.join(signs)}." if signs else "None left a sign of life."
