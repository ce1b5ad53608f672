"""What a training writes: checkpoints to continue from, and weights alone to use."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.engine.checkpoint import plain, save_checkpoint, write_checkpoint
from scripts.engine.progress import Progress
from scripts.engine.recalibration import report_file
from scripts.engine.training_state import Training


def weights_of(training: Training, progress: Progress, step: int) -> dict[str, Any]:
    """What a checkpoint after ``step`` updates says of the network."""
    return {
        "model": training.detector.state_dict(),
        "step": step,
        "seed": training.options.seed,
        "seconds": training.seconds(progress),
        "run": plain(asdict(training.run)),
        "classes": list(training.classes),
        "proposals": training.proposals_key,
    }


def save_weights(path: Path, training: Training, progress: Progress, step: int) -> None:
    """Writes the weights alone, a third of a checkpoint; a disk that is full ends no training."""
    try:
        write_checkpoint(path, step, weights_of(training, progress, step))
        report = report_file(path)
        if report.is_file():
            report.unlink()
            progress.say(f"note: {path} is new and its sigmas are not calibrated any more")
    except (OSError, RuntimeError) as error:
        progress.say(f"warning: {path} could not be written ({error}); free some disk space.")


def save_training(training: Training, progress: Progress, step: int, *, is_last: bool) -> None:
    """Writes the checkpoint after ``step`` updates; a disk that is full ends no training.

    Raises:
        OSError, RuntimeError: if the last checkpoint cannot be written.
    """
    state = {
        **weights_of(training, progress, step),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "accumulate": training.splitting.parts,
    }
    try:
        save_checkpoint(training.place.folder, step, state)
    except (OSError, RuntimeError) as error:
        if is_last:
            raise
        progress.say(
            f"warning: the checkpoint at update {step} could not be written ({error}); free some "
            "disk space; training goes on and the last good checkpoint is kept."
        )
