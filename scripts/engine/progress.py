"""Shows how training goes: a tqdm bar on a terminal, plain lines elsewhere, TensorBoard scalars in both cases."""

import math
import sys
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

PLAIN_EVERY_S = 20.0  # a line this often when there is no terminal
SMOOTHING = 0.98  # of the shown losses


class Progress:
    """Counts updates from ``start`` to ``total`` and reports losses, rate, images/s, data-wait share and time left."""

    def __init__(self, *, folder: Path, title: str, start: int, total: int) -> None:
        self.title, self.start, self.total = title, start, total
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start)
        self.bar = tqdm(total=total, initial=start, desc=title, dynamic_ncols=True) if sys.stderr.isatty() else None
        self.smooth: dict[str, float] = {}
        self.window: dict[str, list[float]] = {}  # losses since the last scalars
        self.images = 0
        self.waited = 0.0
        self.began = self.shown = time.monotonic()

    def step(self, step: int, losses: dict[str, float], *, total: float, lr: float, images: int,
             waited: float) -> None:
        """Reports update ``step`` (from 0). total: the weighted sum of ``losses``; waited: seconds that this update
        waited for data."""
        self.images += images
        self.waited += waited
        for name, value in {"loss": total, **losses}.items():
            self.smooth[name] = SMOOTHING * self.smooth.get(name, value) + (1 - SMOOTHING) * value
            self.window.setdefault(name, []).append(value)
        elapsed = time.monotonic() - self.began
        speed, wait = self.images / elapsed, self.waited / elapsed
        text = "  ".join(f"{name} {value:.3f}" for name, value in self.smooth.items())
        text += f"  lr {lr:.2e}  {speed:.1f} img/s  data {wait:.0%}"
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(1)
        elif time.monotonic() - self.shown > PLAIN_EVERY_S or step + 1 == self.total:
            self.shown = time.monotonic()
            left = elapsed / (step + 1 - self.start) * (self.total - step - 1)
            print(f"{self.title}  {step + 1}/{self.total}  {text}  {left / 60:.1f} min left", flush=True)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """TensorBoard scalars: ``values`` and, under train/, the mean of each loss since the last call. A NaN (no
        foreground in this step) is left out."""
        means = {f"train/{name}": sum(window) / len(window) for name, window in self.window.items()}
        self.window = {}
        for name, value in {**means, **values}.items():
            if not math.isnan(value):
                self.writer.add_scalar(name, value, step)

    def say(self, line: str) -> None:
        """A line that does not break the bar."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        self.writer.close()
        if self.bar is not None:
            self.bar.close()
