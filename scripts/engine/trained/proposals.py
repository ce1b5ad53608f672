"""Saved proposals for Fast R-CNN: those of a trained region proposal network, or of given files."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.formats.saved_proposals import (
    SavedProposals,
    join_proposals,
    load_proposals,
    save_proposals,
    saved_key,
)
from data.records import Dataset, Proposals
from experiments.records import Run
from scripts.engine.disk import full_disk_named
from scripts.engine.environment import Environment, open_dataset, pick_device, scaled_run
from scripts.engine.files import sha256
from scripts.engine.intact import forget_note, is_intact, known_sha256, write_note
from scripts.engine.pixels import pixels_digest
from scripts.engine.places import OUT, RunPlace, find_run
from scripts.engine.processes import gathered, said_by_first
from scripts.engine.results_version import inference_key
from scripts.engine.trained.trained import (
    TrainedRun,
    predict,
    trained_batches,
    trained_detector,
    trained_run,
)


def ensure_proposals(
    run: Run, place: RunPlace, environment: Environment, dataset: Dataset, part: str
) -> SavedProposals | None:
    """The saved proposals that ``run`` is trained and tested with, computed first if need be.

    They come from the files of --proposals, or from the run that ``Run.proposals`` names, trained
    with the same seed.

    Args:
        run: the run that needs them.
        place: of ``run``; the other run's is its sibling.
        environment: of the command.
        dataset: the images that must be covered.
        part: "train", "test", or "test_" and the name of another split to test on.

    Returns:
        the proposals; None if the run has a region proposal network of its own.

    Raises:
        ValueError: if the other run is not trained, naming the command.
        DataError: if a given file cannot be used.
    """
    if not run.proposals:
        if environment.proposals is not None and part == "train":
            raise ValueError(
                f"--proposals: {run.name} has a region proposal network of its own; leave the "
                "option out, or train a Fast R-CNN run."
            )
        return None
    if environment.proposals is not None:
        return given_proposals(environment.proposals, part)
    name, proposing, proposing_place = proposing_run(run, place, environment)
    return load_proposals(
        ensure_proposal_file(name, proposing, proposing_place, environment, dataset, part)
    )


def part_of_split(split: str) -> str:
    """The part of ``ensure_proposals`` for images to test on; "": the run's test split."""
    return f"test_{split}" if split else "test"


def proposing_run(run: Run, place: RunPlace, environment: Environment) -> tuple[str, Run, RunPlace]:
    """The run that ``run`` has its proposals from: as a command names it, at the scale and on the
    data of the environment, and where it is kept.
    """
    name = f"{place.paper}/{run.proposals}"
    return name, scaled_run(find_run(name), environment), place.sibling(run.proposals)


def given_proposals(option: str, part: str) -> SavedProposals:
    """The proposals in the files that --proposals names for one part; their key is the files' hash.

    Raises:
        ValueError: if the option names no file for the part.
        DataError: if a file cannot be used.
    """
    train, colon, test = option.partition(":")
    files = [Path(name) for name in (train if part == "train" else test).split("+") if name]
    if not colon or not files:
        use = "training" if part == "train" else "testing"
        raise ValueError(
            f"--proposals {option!r} names no file for {use}; give TRAIN_FILE:TEST_FILE, several "
            "files of one part joined by +."
        )
    joined = join_proposals([load_proposals(file) for file in files])
    return replace(joined, key=" + ".join(sha256(file) for file in files))


def ensure_proposal_file(
    name: str, run: Run, place: RunPlace, environment: Environment, dataset: Dataset, part: str
) -> Path:
    """The file with the proposals of the trained ``run``.

    It is the one that is there if it comes from the newest checkpoint and covers the same images,
    else a new one.

    Args:
        name: the run as a command names it, "paper/run".
        run: at the scale and on the data of the command.
        place: of ``run``.
        environment: of the command.
        dataset: the images that must be covered.
        part: as in ``ensure_proposals``.

    Raises:
        ValueError: if the run has no region proposal network or is not trained.
    """
    if run.proposals:
        raise ValueError(
            f"{name} has no region proposal network: it uses those of {run.proposals}; save these."
        )
    trained = trained_run(run, place, dataset, unfinished=environment.unfinished)
    if trained is None:
        words = ["python", "-m", "scripts.train", name, "--scale", environment.scale]
        words += ["--seed", str(place.seed), *data_options(environment)]
        raise ValueError(
            f"There is no trained network in {place.folder} to take proposals from; train it "
            f"first: {shlex.join(words)}"
        )
    rpn = trained.run.model.rpn
    count = rpn.post_nms_train if part == "train" else rpn.post_nms_test
    key = file_key(trained.checkpoint, count, dataset)
    path = place.saved_proposals(part)
    if all(gathered(saved_key(path) == key and is_said_intact(path))):
        print(f"proposals: {path}, computed before", flush=True)
        return path
    proposals = network_proposals(trained, dataset, environment, count=count, images=len(dataset))
    said_by_first(lambda: write_proposals(path, dataset, proposals, key))
    print(f"proposals: {path}", flush=True)
    return path


def write_proposals(path: Path, dataset: Dataset, proposals: Sequence[Proposals], key: str) -> None:
    """Writes the proposals of every image with ``key``, what they were computed from.

    Raises:
        EnvironmentFault: the disk is full.
    """
    with full_disk_named(path):
        forget_note(path)
        save_proposals(path, dataset.image_ids, proposals, key)
        write_note(path, sha256(path))


def is_said_intact(path: Path) -> bool:
    """Whether saved proposals are as they were written; says so if they are not."""
    if is_intact(path):
        return True
    print(f"warning: {path} is damaged and is computed again.", flush=True)
    return False


def file_key(checkpoint: Path, count: int, dataset: Dataset) -> str:
    """What a file of proposals was computed from."""
    images = json.dumps([[str(image) for image in dataset.image_ids], dataset.sizes])
    key = {
        "checkpoint": known_sha256(checkpoint),
        "count": count,
        "images": hashlib.sha256(images.encode()).hexdigest(),
        "pixels": pixels_digest(dataset),
        **inference_key(),
    }
    return json.dumps(key)


def other_proposer(learned: str | None, tested: str) -> bool:
    """Whether the proposals of a training and of a test come from two different checkpoints.

    Args:
        learned: the key of those that a network was trained on; None: not known.
        tested: the key of those that it is tested with. The key of given files names none.
    """
    checkpoints = {proposer(key) for key in (learned, tested)} - {None}
    return len(checkpoints) > 1


def proposer(key: str | None) -> str | None:
    """The hash of the checkpoint in a ``file_key``; None if the key is of another kind."""
    try:
        content = json.loads(key or "")
    except ValueError:
        return None
    return content.get("checkpoint") if isinstance(content, dict) else None


def network_proposals(
    trained: TrainedRun, dataset: Dataset, environment: Environment, *, count: int, images: int
) -> list[Proposals]:
    """The best ``count`` proposals of each of the first ``images`` images, by a forward pass."""
    device = pick_device(environment.device)
    detector = trained_detector(trained, device)
    chosen = range(min(images, len(dataset)))
    batches = trained_batches(trained, dataset, environment, indices=chosen)
    return predict(
        lambda batch: detector.proposals(batch, count),
        batches,
        images=images,
        name=trained.run.name,
        unit="proposals",
        device=device,
    )


def data_options(environment: Environment) -> list[str]:
    """The options that another command must share to use the same data and folders."""
    given = {"--data-root": environment.data_root, "--splits": environment.splits}
    if environment.out != OUT:
        given["--out"] = environment.out
    words = []
    for name, value in given.items():
        if value is not None:
            words += [name, str(value)]
    return words + (["--skip-bad-boxes"] if environment.skip_bad_boxes else [])


def save_run_proposals(name: str, environment: Environment, seed: int) -> None:
    """Writes the proposals of the run "paper/run" on its training and on its test images."""
    run = scaled_run(find_run(name), environment)
    place = environment.run_place(name.partition("/")[0], run, seed)
    for part, split in (("train", run.data.train), ("test", run.data.test)):
        dataset = open_dataset(run, environment, split)
        ensure_proposal_file(name, run, place, environment, dataset, part)
