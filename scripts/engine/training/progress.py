"""How training goes: a tqdm bar on a terminal, plain lines elsewhere, and TensorBoard scalars."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.records import Batch
from scripts.engine.processes import is_first, share
from scripts.engine.tensorboard.event_log import EventLog
from scripts.engine.tensorboard.scalar_lines import ScalarLines
from scripts.engine.training.pace import Pace

PLAIN_EVERY_S = 20.0  # a line this often when there is no terminal
ESTIMATE_AFTER = 10  # updates, from which the time of all is estimated
SMOOTHING = 0.98  # of the shown losses


class Progress:
    """Counts updates and reports losses, rate, images/s, the share of waiting, and time left, the
    last three at the pace of the last updates.

    Args:
        folder: of the TensorBoard files; None: there are none.
        lines: the file that gets the scalars of ``scalars`` as JSON lines; None: there is none.
        title: what is trained.
        start: updates that are made already.
        total: updates at the end.
        skipped: images of the updates made already that could not be read.
    """

    def __init__(
        self,
        *,
        folder: Path | None,
        lines: Path | None,
        title: str,
        start: int,
        total: int,
        skipped: int = 0,
    ) -> None:
        self.title, self.start, self.total = title, start, total
        self.lines = ScalarLines(lines, start)
        self.said: set[str] = set()  # lines of ``say_once``
        self.bar: tqdm | None = None
        if folder is not None and sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=start, desc=title, dynamic_ncols=True)
        self.log = EventLog(folder, start=start, warn=self.say)
        self.smooth: dict[str, float] = {}
        self.window: dict[str, list[float]] = {}  # losses since the last scalars
        self.pace = Pace()
        self.skipped = skipped  # images of all updates made that could not be read
        self.validated = ""  # the newest validation, in the bar
        self.began = self.shown = time.monotonic()

    def next_batch(self, batches: Iterator[Batch]) -> Batch:
        """The next batch; measures how long it takes, and names the images left out of it."""
        began = time.monotonic()
        batch = next(batches)
        self.pace.waited += time.monotonic() - began
        for number, sentence in enumerate(batch.skipped, start=self.skipped + 1):
            self.say(f"skipped image {number}: {sentence}")
            if not is_first():  # whose output is not shown
                print(f"skipped image in process {share().rank}: {sentence}", file=sys.stderr)
        return batch

    def step(
        self, step: int, losses: Mapping[str, float], *, total: float, lr: float, images: int
    ) -> None:
        """Reports one update.

        Args:
            step: the update, from 0.
            losses: its terms.
            total: their weighted sum.
            lr: its learning rate.
            images: in its batch.
        """
        self.pace.updated(images)
        for name, value in {"loss": total, **losses}.items():
            self.smooth[name] = SMOOTHING * self.smooth.get(name, value) + (1 - SMOOTHING) * value
            self.window.setdefault(name, []).append(value)
        speed, wait = self.pace.lately()
        text = "  ".join(f"{name} {value:.3f}" for name, value in self.smooth.items())
        text += f"  lr {lr:.2e}  {speed:.1f} img/s  data {wait:.0%}{self.validated}"
        done = step + 1
        left = self.pace.seconds_for(self.total - done)
        has_a_pace = done - self.start == ESTIMATE_AFTER
        is_to_go_on = done < self.total
        if has_a_pace and is_to_go_on:
            self.say(
                f"expected: {left / 60:.0f} min for the {self.total - done} updates to come, "
                f"at the pace of the first {ESTIMATE_AFTER}"
            )
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(1)
        elif time.monotonic() - self.shown > PLAIN_EVERY_S or done == self.total:
            self.shown = time.monotonic()
            self.say(f"{self.title}  {done}/{self.total}  {text}  {left / 60:.1f} min left")

    def statistics(self, step: int, statistics: Mapping[str, float], *, lr: float) -> None:
        """Writes the statistics of an update as scalars; those without a group are of the head."""
        named = {tag_of(name): value for name, value in statistics.items()}
        self.scalars(
            step,
            {"train/lr": lr, "data/skipped": self.skipped, **self.pace.since_last(), **named},
        )

    def validation(self, done: int, scores: Mapping[str, Any], *, note: str) -> None:
        """Reports a validation: a line, the bar, and each number as a scalar under val/.

        Args:
            done: updates that are made.
            scores: of ``validation_scores``.
            note: what follows the AP in the line.
        """
        self.validated = f"  val AP {scores['AP']:.1f}"
        self.say(
            f"validation after {done} updates: AP {scores['AP']:.1f}  AP50 {scores['AP50']:.1f}  "
            f"AP75 {scores['AP75']:.1f}{note}"
        )
        for name, value in scores.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self.log.add(f"val/{name}", value, done)
        for name, value in scores["per_class"].items():
            if math.isfinite(value):
                self.log.add(f"val_AP/{name}", value, done)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes TensorBoard scalars at ``step`` + 1 updates, and the same as a JSON line.

        Args:
            step: the update, from 0.
            values: by name. A NaN (no foreground in this step) is left out. The means of the losses
                since the last call are added to them, under train/.
        """
        means = {f"train/{name}": sum(window) / len(window) for name, window in self.window.items()}
        self.window = {}
        self.lines.add(step, {**means, **values})
        for name, value in {**means, **values}.items():
            if not math.isnan(value):
                self.log.add(name, value, step + 1)

    def say(self, line: str) -> None:
        """Prints a line that does not break the bar.

        A line for which the disk has no room, where the output goes into a file, is lost: there is
        nowhere to say so, and it must not end the training.
        """
        with contextlib.suppress(OSError):
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()

    def say_once(self, line: str) -> None:
        """Prints a line unless this training has printed it before."""
        if line not in self.said:
            self.said.add(line)
            self.say(line)

    def close(self) -> None:
        """Ends the bar and writes what TensorBoard still waits for."""
        self.log.close()
        if self.bar is not None:
            self.bar.close()


def tag_of(statistic: str) -> str:
    """TensorBoard's name of a statistic of an update, with its group."""
    if "/" in statistic:
        return statistic
    return f"train/{statistic}" if statistic == "gradient_norm" else f"head/{statistic}"
