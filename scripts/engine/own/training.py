"""Trains a recipe of experiments/own/ on the labeled images of a folder."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from data.loader import usable_images
from experiments.own.recipe import updates_an_epoch
from experiments.records import Run
from scripts.engine.environment import Environment, pick_device
from scripts.engine.files import read_json, write_atomically
from scripts.engine.image_digests import DIGESTS
from scripts.engine.own.data import OwnData, OwnFolder, fingerprint, open_own_data
from scripts.engine.own.recipe import (
    OWN,
    OwnOptions,
    find_recipe,
    own_run,
    with_conventions,
    with_start,
)
from scripts.engine.places import RunPlace, own_place
from scripts.engine.processes import is_first
from scripts.engine.saved_record import saved_record
from scripts.engine.tensorboard.shown_images import Shown, chosen_images
from scripts.engine.training.recipe import TrainOptions, check_accumulate, goes_on
from scripts.engine.training.state import Task
from scripts.engine.training.training import train_task
from scripts.engine.training.validation import Validation, check_has_objects
from scripts.engine.weights.start import recorded_run


def train_own(
    name: str,
    folder: OwnFolder,
    environment: Environment,
    options: TrainOptions,
    own: OwnOptions,
) -> int:
    """Trains the recipe "own/NAME", or continues its training.

    Args:
        name: of the recipe.
        folder: where the labeled images are.
        environment: where runs are kept, and on which device.
        options: as of every training.
        own: what only these recipes let a user choose.

    Returns:
        the exit code: 0, or STOPPED after a signal.

    Raises:
        ValueError: if something does not fit: an option, a checkpoint, the data.
        DivergedError: if a loss or gradient is not finite.
    """
    recipe = find_recipe(name)
    device = pick_device(environment.device)  # a missing GPU is said before the data are read
    if device.type == "cpu" and recipe.needs_gpu:
        print(f"note: {name} wants a GPU and takes days on a CPU, which trains own/small well")
    data = open_own_data(folder, masks=recipe.run.data.masks, train_empty=own.empty_images)
    print("\n".join(data.sentences))
    check_has_objects(data.validation, data.validation_split)
    own = replace(own, batch_size=own.batch_size or options.batch_size)
    images = len(usable_images(data.train, replace(recipe.run.data, train_empty=own.empty_images)))
    run = own_run(recipe, data, own, images)
    check_accumulate(options.accumulate, run.train.batch_size)
    place = own_place(environment.out, name.removeprefix(f"{OWN}/"), folder.name, options.seed)
    run = started(run, place, options)
    trained_images = fingerprint(data.train)
    if options.changed_data:
        trained_images = with_images_before(place, trained_images)
    else:
        check_same_images(place, trained_images)
    validation = own_validation(run, data, options, images, environment.workers)
    print("\n".join(schedule_lines(run, images, validation)))
    task = Task(
        run=run,
        place=place,
        dataset=data.train,
        validation=validation,
        may_grow=True,
        shown=lambda: Shown(dataset=data.validation, indices=chosen_images(data.validation)),
    )
    if is_first():
        write_atomically(place.trained_images, json.dumps(trained_images))
    return train_task(task, environment, options)


def started(run: Run, place: RunPlace, options: TrainOptions) -> Run:
    """The run with the conventions of its starting weights.

    A training that goes on keeps those that it began with, so that the same command needs no
    --weights or --from any more.
    """
    if goes_on(place, options) and options.weights == "auto" and options.start_from is None:
        before = saved_record(Run, recorded_run(place), place.record)
        return with_conventions(run, before, start=before.start)
    return with_start(run, options.weights, options.start_from)


def check_same_images(place: RunPlace, now: dict[str, Any]) -> None:
    """Checks that a training does not go on with other images than it began with.

    Args:
        place: of the training.
        now: the ``fingerprint`` of its images.

    Raises:
        ValueError: if it would.
    """
    if not (place.has_checkpoints and place.trained_images.is_file()):
        return
    before = images_before(place)
    if before["sha256_of_names"] != now["sha256_of_names"]:
        raise ValueError(
            f"The network in {place.folder} learned from {before['images']} images, and there are "
            f"{now['images']} with other names now; train anew in another --out folder, with "
            f"--from {place.last} to begin with what it knows, or add --changed-data to go on with "
            "the images as they are."
        )


def with_images_before(place: RunPlace, now: dict[str, Any]) -> dict[str, Any]:
    """A ``fingerprint`` that also knows the images that the network learned from before.

    Whoever asks whether an image is new to the network
    (scripts/engine/calibration/unseen_images.py) needs all of them.
    """
    if not (place.has_checkpoints and place.trained_images.is_file()):
        return now
    before = images_before(place).get(DIGESTS, [])
    return {**now, DIGESTS: sorted({*before, *now[DIGESTS]})}


def images_before(place: RunPlace) -> dict[str, Any]:
    """What was noted about the images that the network at ``place`` learned from.

    Raises:
        ValueError: the file is damaged.
    """
    return read_json(
        place.trained_images,
        "delete it if the images are still the same ones, and run the same command again",
        keys=("sha256_of_names", "images"),
    )


def own_validation(
    run: Run, data: OwnData, options: TrainOptions, images: int, workers: int
) -> Validation | None:
    """Validation each epoch, or as the options say; None if they switch it off."""
    epoch = updates_an_epoch(images, run.train.batch_size)
    every = epoch if options.validate_every is None else options.validate_every
    if every == 0:
        return None
    return Validation(
        dataset=data.validation,
        every=every,
        epoch=epoch,
        patience=options.patience,
        workers=workers,
    )


def schedule_lines(run: Run, images: int, validation: Validation | None) -> Sequence[str]:
    """The schedule in sentences."""
    train, data = run.train, run.data
    epochs = train.iterations / updates_an_epoch(images, train.batch_size)
    drops = ", ".join(map(str, train.lr_drops))
    often = "never" if validation is None else f"every {validation.every} updates"
    return [
        f"schedule: {train.iterations} updates of {train.batch_size} images, {epochs:g} epochs of "
        f"{images} images; lr {train.lr:g}, a tenth after {drops}; short side {data.short_side} px",
        f"validation: {often}",
    ]
