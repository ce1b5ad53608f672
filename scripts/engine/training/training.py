"""Trains one network, update by update.

Every random draw of an update is a function of the seed and of the places of its images, so
stopping and resuming changes nothing. Several processes share each batch; the first one writes.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial

from data.errors import DataError
from data.loader import train_batches, usable_images
from data.records import Batch
from experiments.own.recipe import updates_an_epoch
from scripts.engine.command import STOPPED, LostProcess
from scripts.engine.environment import Environment, open_dataset, pick_device
from scripts.engine.files import write_atomically
from scripts.engine.memory import OutOfMemoryFault, within_memory
from scripts.engine.processes import barrier, first_before_others, is_first, said_by_first, share
from scripts.engine.run_folder.checkpoint import plain
from scripts.engine.run_folder.heartbeat import Heartbeat, heartbeat
from scripts.engine.run_folder.lock import held
from scripts.engine.run_folder.starts import note_start
from scripts.engine.run_folder.status import RunStatus
from scripts.engine.run_folder.step_files import updates_of
from scripts.engine.shared_batch import SharedBatch, agreed
from scripts.engine.stopping import StopSignals
from scripts.engine.tensorboard.shown_images import open_shown
from scripts.engine.training.already_trained import check_finished, is_longer_now, is_still_there
from scripts.engine.training.board import Board
from scripts.engine.training.origin import write_data_facts
from scripts.engine.training.progress import Progress
from scripts.engine.training.recipe import TrainOptions, configured_run, with_classes
from scripts.engine.training.saving import finish, save_training, save_weights
from scripts.engine.training.state import (
    Task,
    Training,
    prepare_training,
)
from scripts.engine.training.validation import (
    Validation,
    best_line,
    check_has_objects,
    is_out_of_patience,
    validate,
    write_lines,
)
from scripts.engine.update.optimizer import learning_rate, set_learning_rate
from scripts.engine.update.update import update, weighted_sum

SAVE_EVERY_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How far a training came: updates that are made, whether it is at its end, and whether a
    signal to one of its processes has stopped it.
    """

    updates: int
    finished: bool
    is_stopped: bool = False


def train_updates(
    training: Training,
    batches: Iterator[Batch],
    progress: Progress,
    stop: StopSignals,
    status: RunStatus,
    heart: Heartbeat,
    board: Board,
) -> Outcome:
    """Makes one update after another, to the end or to a stop."""
    recipe, options = training.run.train, training.options
    saved_at = time.monotonic()
    training.detector.train()
    if is_over_at_start(training, progress, board):
        return Outcome(updates=training.start, finished=True)
    for step in range(training.start, recipe.iterations):
        with saved_before((DataError, LostProcess), training, progress, step):
            batch = next_batch(batches, progress, stop, heart, step)
        if batch is None:
            return Outcome(updates=step, finished=False, is_stopped=True)
        heart.now(f"making update {step}")
        rate = learning_rate(step, recipe)
        set_learning_rate(training.optimizer, rate)
        one_update = partial(
            update,
            training.network,
            training.optimizer,
            training.scaler,
            step=step,
            of_images=batch.of_images,
            amp=training.amp,
            max_norm=recipe.max_grad_norm,
            roi_loss_weight=recipe.roi_loss_weight,
        )
        on_device = batch.to(training.device)
        with saved_before((OutOfMemoryFault, LostProcess), training, progress, step):
            made = within_memory(one_update, on_device, training.splitting, progress.say)
        losses, statistics = made
        progress.skipped += batch.skipped
        total = weighted_sum(losses, recipe.roi_loss_weight)
        progress.step(step, losses, total=total, lr=rate, images=batch.of_images)
        if statistics:
            progress.statistics(step, statistics, lr=rate)
        done = status.step = step + 1
        board.updated(done, on_device)
        if validate_if_due(training, progress, board, done):
            return Outcome(updates=done, finished=True)
        if done - training.start == options.stop_after:
            return Outcome(updates=done, finished=done == recipe.iterations)
        if time.monotonic() - saved_at > SAVE_EVERY_S and done < recipe.iterations:
            save_training(training, progress, done, is_last=False)
            status.write("running")
            saved_at = time.monotonic()
            progress.pace.pause_ended()
    return Outcome(updates=recipe.iterations, finished=True)


def next_batch(
    batches: Iterator[Batch], progress: Progress, stop: StopSignals, heart: Heartbeat, step: int
) -> SharedBatch | None:
    """The batch of update ``step``; None if a process was told to stop.

    Raises:
        DataError: the data, or the processes that read them, are at fault.
    """
    batch = fault = None
    heart.now(f"reading the images of update {step}")
    if not stop.received:
        try:
            batch = progress.next_batch(batches)
        except DataError as error:
            fault = error
    heart.now(f"waiting for the others before update {step}")
    return agreed(batch, fault, wants_stop=stop.received)


@contextmanager
def saved_before(
    faults: tuple[type[Exception], ...], training: Training, progress: Progress, step: int
) -> Iterator[None]:
    """A block before update ``step`` that leaves the weights as they are: if it ends with one of
    ``faults``, the updates so far are saved first.
    """
    try:
        yield
    except faults:
        if step > training.start:
            save_training(training, progress, step, is_last=False)
        raise


def is_over_at_start(training: Training, progress: Progress, board: Board) -> bool:
    """Whether patience had ended where this process goes on, because the one before it died between
    its last validation and its end.

    A validation, or best.pt, that it did not come to is made first.
    """
    done, validation = training.start, training.validation
    if validation is None or done == 0:
        return False
    if not is_validated(training, done):
        return validate_if_due(training, progress, board, done)
    best, path = best_line(training.metrics), training.place.best
    if is_first() and best is not None and best["updates"] == done != updates_of(path):
        save_weights(path, training, progress, done)
    return is_out_of_patience(training.metrics, validation.patience)


def is_validated(training: Training, done: int) -> bool:
    """Whether the network after ``done`` updates was validated before this process."""
    return any(line["updates"] == done for line in training.metrics)


def validate_if_due(training: Training, progress: Progress, board: Board, done: int) -> bool:
    """Validates the network if it is time to, and keeps the best; whether patience has ended."""
    validation, place = training.validation, training.place
    if validation is None or not validation.is_due(done, training.run.train.iterations):
        return False
    began = time.monotonic()
    with saved_before((OutOfMemoryFault, DataError, LostProcess), training, progress, done):
        validated = validate(training.detector, training.run, validation, training.device)
    scores = validated.scores
    line = {"updates": done, "epoch": round(done / validation.epoch, 2), **scores}
    best = best_line(training.metrics)
    training.metrics.append(line)
    is_best = best_line(training.metrics) is line
    if is_best:  # a training that goes on from before it would make other weights than these
        save_training(training, progress, done, is_last=False)
    if is_first():
        write_lines(place.metrics, training.metrics)
    if is_best:
        save_weights(place.best, training, progress, done)
    note = "" if best is None else f"  ({best['AP']:.1f} after {best['updates']} is the best)"
    if is_best:
        note = f"  (best so far; {place.best})"
    progress.validation(done, scores, note=f"{note}  {time.monotonic() - began:.0f} s")
    board.validated(done, validated)
    progress.pace.pause_ended()
    return is_out_of_patience(training.metrics, validation.patience)


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
        DataFault: if the data turn out to be unusable after the training has begun.
        DivergedError: if a loss or gradient is not finite.
        EndedAtOnce: at a second signal.
        EnvironmentFault: if an update does not fit into memory, or another process is gone.
    """
    run = configured_run(name, environment, options)
    if options.validate_every and run.model.roi.head == "none":
        raise ValueError(
            f"--validate-every: {name} is a region proposal network alone, which has no detections "
            "to validate; leave the option out."
        )
    device = pick_device(environment.device)  # a missing GPU is said before the data are read
    if device.type == "cpu" and environment.scale == "paper":
        print(
            "note: at the paper scale a network takes hours to days on a GPU, and months on a CPU; "
            "lite and mini are for CPUs, and own/small for photos of your own"
        )
    with first_before_others():  # the first one may have to render the data
        dataset = open_dataset(run, environment, run.data.train)
    validation = None
    if options.validate_every:
        labeled = open_dataset(run, environment, run.data.test)
        check_has_objects(labeled, run.data.test)
        validation = Validation(
            dataset=labeled,
            every=options.validate_every,
            epoch=updates_an_epoch(len(usable_images(dataset, run.data)), run.train.batch_size),
            patience=options.patience,
            workers=environment.workers,
        )
    run = with_classes(run, dataset.classes)
    place = environment.run_place(name.partition("/")[0], run, options.seed)
    task = Task(
        run=run,
        place=place,
        dataset=dataset,
        validation=validation,
        shown=partial(open_shown, run, place, environment),
    )
    return train_task(task, environment, options)


def train_task(task: Task, environment: Environment, options: TrainOptions) -> int:
    """Trains, or continues a training; the arguments, the result and errors are those of
    ``train``.
    """
    run, place = task.run, task.place
    if place.is_finished and options.resume == "auto" and not is_longer_now(task):
        facts = check_finished(task, environment, options)
        if said_by_first(lambda: is_still_there(place)):
            print(f"{place.folder}: already trained ({facts['step']} updates), nothing to do")
            return 0
    with held(place.folder) if is_first() else nullcontext():
        training = prepare_training(task, environment, options)
        if is_first():
            place.finished.unlink(missing_ok=True)
            write_atomically(place.record, json.dumps(plain(asdict(run)), indent=1))
            note_start(place.starts, training.device, training.start)
            write_data_facts(place.data_facts, training.facts, training.origin)
        batches = train_batches(
            task.dataset,
            run.data,
            batch_size=run.train.batch_size,
            seed=options.seed,
            start=training.start,
            workers=environment.workers,
            proposals=training.proposals,
            share=share(),
        )
        return train_to_the_end(training, batches)


def train_to_the_end(training: Training, batches: Iterator[Batch]) -> int:
    """Makes the updates that are left and saves them, at a stop as well; returns the exit code."""
    place, total = training.place, training.run.train.iterations
    progress = Progress(
        folder=place.tensorboard if is_first() else None,
        lines=place.training_lines if is_first() else None,
        title=training.run.name,
        start=training.start,
        total=total,
        skipped=training.skipped_before,
    )
    status = RunStatus(
        path=place.status if is_first() else None, of_steps=total, step=training.start
    )
    board = Board(training, progress)
    heart = heartbeat(place.folder, share())
    with StopSignals() as stop, status.while_running(), heart.beating():
        outcome = train_updates(training, batches, progress, stop, status, heart, board)
        save_training(training, progress, outcome.updates, is_last=True)
        if training.validation is not None:
            save_weights(place.last, training, progress, outcome.updates)
        barrier()  # torchrun ends the others when one has ended with a code other than 0
        board.close()
        progress.close()
        if outcome.finished:
            if is_first():
                finish(training, progress, outcome.updates)
                board.finish()
            status.write("done")
            return 0
        status.write("preempted")
        print(f"stopped after {outcome.updates} of {total} updates; the same command continues")
    return STOPPED if outcome.is_stopped or stop.received else 0
