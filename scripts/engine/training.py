"""Trains one network, update by update.

Every random draw is keyed by (seed, step), so stopping and resuming changes nothing.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict

from data.loader import train_batches
from data.records import Batch
from scripts.engine.checkpoint import plain
from scripts.engine.command import STOPPED
from scripts.engine.environment import Environment, open_dataset, pick_device
from scripts.engine.files import write_atomically
from scripts.engine.optimizer import learning_rate, set_learning_rate
from scripts.engine.progress import Progress
from scripts.engine.recipe import TrainOptions, configured_run, with_classes
from scripts.engine.stopping import StopSignals
from scripts.engine.training_state import Training, check_finished, prepare_training, save_training
from scripts.engine.update import update, weighted_sum

SAVE_EVERY_S = 300.0


def train_updates(
    training: Training, batches: Iterator[Batch], progress: Progress, stop: StopSignals
) -> int:
    """Makes one update after another, to the end or to a stop; returns how many are made."""
    recipe, options = training.run.train, training.options
    saved_at = time.monotonic()
    training.detector.train()
    for step in range(training.start, recipe.iterations):
        batch = progress.next_batch(batches)
        rate = learning_rate(step, recipe)
        set_learning_rate(training.optimizer, rate)
        losses, statistics = update(
            training.detector,
            training.optimizer,
            training.scaler,
            batch.to(training.device).split(options.accumulate),
            step=step,
            seed=options.seed,
            amp=training.amp,
            max_norm=recipe.max_grad_norm,
            roi_loss_weight=recipe.roi_loss_weight,
        )
        total = weighted_sum(losses, recipe.roi_loss_weight)
        progress.step(step, losses, total=total, lr=rate, images=len(batch.images))
        if statistics:
            progress.statistics(step, statistics, lr=rate)
        done = step + 1
        if stop.received or done - training.start == options.stop_after:
            return done
        if time.monotonic() - saved_at > SAVE_EVERY_S and done < recipe.iterations:
            save_training(training, progress, done)
            saved_at = time.monotonic()
    return recipe.iterations


def train(name: str, environment: Environment, options: TrainOptions) -> int:
    """Trains the run "paper/run", or continues its training.

    Args:
        name: of the run in runs.py, for example "kl_loss/vgg16_coco_kl".
        environment: where, on what data, on which device.
        options: seed, resuming, starting weights, precision, batch.

    Returns:
        the exit code: 0, or STOPPED after a signal.

    Raises:
        ValueError: if something does not fit: an option, a checkpoint, the data.
        DivergedError: if a loss or gradient is not finite.
    """
    run = configured_run(name, environment, options)
    pick_device(environment.device)  # a missing GPU is said before the data are read
    place = environment.run_place(name.partition("/")[0], run, options.seed)
    dataset = open_dataset(run, environment, run.data.train)
    run = with_classes(run, dataset.classes)
    if place.is_finished and options.resume == "auto":
        facts = check_finished(run, place, dataset, environment)
        print(f"{place.folder}: already trained ({facts['step']} updates), nothing to do")
        return 0
    training = prepare_training(run, place, dataset, environment, options)
    write_atomically(place.record, json.dumps(plain(asdict(run)), indent=1))
    stop = StopSignals()
    batches = train_batches(
        dataset,
        run.data,
        batch_size=run.train.batch_size,
        seed=options.seed,
        start=training.start,
        workers=environment.workers,
        proposals=training.proposals,
    )
    progress = Progress(
        folder=place.tensorboard, title=run.name, start=training.start, total=run.train.iterations
    )
    done = train_updates(training, batches, progress, stop)
    save_training(training, progress, done)
    progress.close()
    if stop.received or done < run.train.iterations:
        print(f"stopped after {done} of {run.train.iterations} updates; the same command continues")
        return STOPPED if stop.received else 0
    finish(training, progress)
    return 0


def finish(training: Training, progress: Progress) -> None:
    """Writes finished.json and prints what the training took."""
    train = training.run.train
    seconds = training.seconds(progress)
    speed = train.iterations * train.batch_size / seconds
    facts = {
        "step": train.iterations,
        "seconds": round(seconds, 1),
        "resumed_at": training.start,
        "device": str(training.device),
        "images_per_second": round(speed, 2),
        "skipped_images": progress.skipped,
        "classes": list(training.classes),
        "proposals": training.proposals_key,
    }
    write_atomically(training.place.finished, json.dumps(facts))
    print(f"trained {training.run.name} in {seconds / 60:.1f} min, {speed:.1f} img/s")
