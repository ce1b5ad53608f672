"""status.json: where a training stands, for whoever looks at its folder from outside."""

import datetime
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import DataError
from scripts.engine.command import DataFault, EndedAtOnce, EnvironmentFault
from scripts.engine.files import write_atomically
from scripts.engine.update.update import DivergedError

State = Literal["running", "preempted", "done", "diverged", "failed"]


@dataclass(kw_only=True)
class RunStatus:
    """Writes status.json.

    path: of the file; None: nothing is written. of_steps: updates at the end. step: updates that
    are made.
    """

    path: Path | None
    of_steps: int
    step: int

    def write(self, state: State, sentence: str | None = None) -> None:
        """Writes the state; a disk that is full ends no training.

        Args:
            state: "running", "preempted" (saved, and the same command continues), "done",
                "diverged" or "failed".
            sentence: what is wrong; None where nothing is.
        """
        if self.path is None:
            return
        status = {
            "state": state,
            "step": self.step,
            "of_steps": self.of_steps,
            "time": now(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "sentence": sentence,
        }
        try:
            write_atomically(self.path, json.dumps(status, indent=1))
        except (OSError, EnvironmentFault) as error:
            print(f"warning: {self.path} could not be written ({error}).", flush=True)

    @contextmanager
    def while_running(self) -> Iterator[None]:
        """Says "running", and at an error how it ended; what follows a good end says so itself.

        Raises:
            DataFault: for a DataError.
        """
        self.write("running")
        try:
            yield
        except DivergedError as error:
            self.write("diverged", str(error))
            raise
        except DataError as error:
            self.write("failed", str(error))
            raise DataFault(str(error)) from error
        except EndedAtOnce:
            self.write("failed", "A second signal ended the training before it could save.")
            raise
        except BaseException as error:
            self.write("failed", str(error) or type(error).__name__)
            raise


def now() -> str:
    """The local time with its zone, ISO 8601, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
