"""What a training writes: checkpoints to continue from, weights alone to use, and how it ended."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.engine.command import EnvironmentFault
from scripts.engine.files import write_atomically
from scripts.engine.processes import is_first
from scripts.engine.results_version import RESULTS_VERSION
from scripts.engine.run_folder.checkpoint import plain, save_checkpoint, write_checkpoint
from scripts.engine.run_folder.recalibration import report_file
from scripts.engine.run_folder.step_files import newest_whole, step_files, step_of, updates_of
from scripts.engine.training.progress import Progress
from scripts.engine.training.state import Training
from scripts.engine.training.validation import best_line


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
        "origin": asdict(training.origin),
        "results_version": RESULTS_VERSION,
    }


def save_weights(path: Path, training: Training, progress: Progress, step: int) -> None:
    """Writes the weights alone, a third of a checkpoint; a disk that is full ends no training.

    Of several processes the first one writes.
    """
    if not is_first():
        return
    try:
        write_checkpoint(path, step, weights_of(training, progress, step))
        report = report_file(path)
        if report.is_file():
            report.unlink()
            progress.say(f"note: {path} is new and its sigmas are not calibrated any more")
    except (OSError, EnvironmentFault) as error:
        progress.say(f"warning: the weights after update {step} are not in {path}: {error}")


def save_training(training: Training, progress: Progress, step: int, *, is_last: bool) -> None:
    """Writes the checkpoint after ``step`` updates; of several processes the first one does.

    Args:
        training: what is saved.
        progress: of the training.
        step: updates that are made.
        is_last: the training ends now, so that a failure is an error; at any other time it is a
            warning, and the training goes on and tries again at the next save.

    Raises:
        EnvironmentFault: if the last checkpoint cannot be written.
    """
    if not is_first():
        return
    state = {
        **weights_of(training, progress, step),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "accumulate": training.splitting.parts,
        "skipped_images": progress.skipped,
    }
    folder = training.place.folder
    progress.log.flush()
    try:
        save_checkpoint(folder, step, state, warn=progress.say_once)
    except (OSError, EnvironmentFault) as error:
        what = (
            f"the checkpoint after update {step} could not be saved: {reason(error)}; "
            f"{newest_good(folder)}; {remedy(error)}"
        )
        if is_last:
            raise EnvironmentFault(f"{what} and run the same command again.") from error
        progress.say(f"warning: {what}; training goes on and tries again at the next save.")


def reason(error: OSError | EnvironmentFault) -> str:
    """What an error says, without the period and the advice at its end."""
    return str(error).partition("; free some disk space")[0].rstrip(".")


def remedy(error: OSError | EnvironmentFault) -> str:
    """What to do about a file that could not be written."""
    return "free some disk space" if isinstance(error, EnvironmentFault) else "make that possible"


def trained_settings(training: Training) -> dict[str, Any]:
    """What the command line may change of a training: seeds that differ here are not compared.

    The starting weights count if they are a file of ImageNet weights; a network that starts from
    another run has one of its own for each seed.
    """
    run = training.run
    settings = {
        "start": run.start,
        "pixels": run.data.pixels,
        "batch_size": run.train.batch_size,
        "updates": run.train.iterations,
        "precision": "float32" if training.amp is None else str(training.amp),
    }
    if run.start == "imagenet":
        settings["weights_sha256"] = training.origin.weights_sha256
    return settings


def newest_good(folder: Path) -> str:
    """Which updates of a training are on the disk, in words."""
    path = newest_whole(step_files(folder))
    if path is None:
        return "there is no good checkpoint, and the training would begin anew"
    return f"the newest good checkpoint is of update {step_of(path)}"


def finish(training: Training, progress: Progress, updates: int) -> None:
    """Writes finished.json and prints what the training took.

    Args:
        training: of the network.
        progress: of the training.
        updates: that were made, fewer than planned if patience has ended.
    """
    train = training.run.train
    seconds = training.seconds(progress)
    speed = updates * train.batch_size / seconds
    facts = {
        "step": updates,
        "seconds": round(seconds, 1),
        "resumed_at": training.start,
        "device": str(training.device),
        "images_per_second": round(speed, 2),
        "skipped_images": progress.skipped,
        "skipped_updates": training.scaler.skipped,
        "classes": list(training.classes),
        "proposals": training.proposals_key,
        "origin": training.origin.without_path(),
        "settings": trained_settings(training),
        "results_version": RESULTS_VERSION,
    }
    write_atomically(training.place.finished, json.dumps(facts))
    print(f"trained {training.run.name} in {seconds / 60:.1f} min, {speed:.1f} img/s")
    best = best_line(training.metrics)
    if best is not None:
        early = "" if updates == train.iterations else f" (early, of {train.iterations})"
        print(
            f"ended after {updates} updates{early}; best: AP {best['AP']:.2f} after "
            f"{best['updates']}{where_best_is(training.place.best, best['updates'])}"
        )


def where_best_is(path: Path, updates: int) -> str:
    """Where the weights of the best validation are, in words.

    They are not in best.pt if the disk was full, or if checkpoints were damaged and the training
    went on from before them.

    Args:
        path: of best.pt.
        updates: after which the best validation was.
    """
    held = updates_of(path)
    if held == updates:
        return f" -> {path}"
    instead = "" if held is None else f", {path} has those after {held}"
    return f", whose weights are lost{instead}"
