"""The run as it is trained: at its scale, on the data that are there, with the training options."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.records import Run
from experiments.scales import at_scale
from scripts.engine.environment import Environment, scaled_run
from scripts.engine.places import RunPlace, find_run
from scripts.engine.run_folder.checkpoint import load_checkpoint
from scripts.engine.training.kept_by_scale import check_keeps_own_run
from scripts.engine.update.optimizer import scaled_to_batch
from scripts.engine.weights.conventions import with_conventions_of
from scripts.engine.weights.start import FROM_NO_RUN, recorded_run, with_pixels, with_pixels_of


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of scripts.train beside those of the environment.

    seed: of every random draw. resume: "auto" (continue if there is a checkpoint), "none", or a
    file. weights: for a start from ImageNet, "auto" (torchvision's), "none", or a file. amp: mixed
    precision, "off", "bf16" or "fp16" (scripts/engine/update/mixed_precision.py says where).
    batch_size: images to scale the recipe to; None: the recipe's. accumulate: forward passes an
    update. auto_accumulate: more of them where one does not fit into memory. stop_after: updates
    after which the training stops, resumably; None: at the end. start_from: the checkpoint to
    fine-tune. validate_every: updates between two validations; None: the recipe's, that is none in
    the papers' runs; 0: none.
    patience: validations without a better AP after which the training ends; None: never.
    changed_data: a training goes on although its images or annotations are others now.
    """

    seed: int = 0
    resume: str = "auto"
    weights: str = "auto"
    amp: str = "off"
    batch_size: int | None = None
    accumulate: int = 1
    auto_accumulate: bool = False
    stop_after: int | None = None
    start_from: Path | None = None
    validate_every: int | None = None
    patience: int | None = None
    changed_data: bool = False


def configured_run(name: str, environment: Environment, options: TrainOptions) -> Run:
    """The run "paper/run" at its scale, with what the command line changes.

    Raises:
        ValueError: if an option does not fit.
    """
    written = find_run(name)
    run = scaled_run(written, environment)
    check_keeps_own_run(name, written, at_scale(written, environment.scale), environment.scale)
    run = with_weights(run, name.partition("/")[0], environment, options)
    if options.batch_size is not None and options.batch_size != run.train.batch_size:
        run = with_batch_size(run, options.batch_size)
    check_accumulate(options.accumulate, run.train.batch_size)
    return run


def check_accumulate(parts: int, batch_size: int) -> None:
    """Checks that a batch can be split into so many forward passes.

    Raises:
        ValueError: if it cannot.
    """
    if not 1 <= parts <= batch_size:
        raise ValueError(
            f"--accumulate is {parts}; a batch of {batch_size} images can be split into 1 to "
            f"{batch_size} forward passes."
        )


def with_weights(run: Run, paper: str, environment: Environment, options: TrainOptions) -> Run:
    """The run with the pixels and the padding that its starting weights expect.

    A training that goes on keeps those that it began with, so that the same command needs no
    --weights or --from any more.
    """
    place = environment.run_place(paper, run, options.seed)
    if options.start_from is not None:
        theirs = load_checkpoint(options.start_from)["run"]
        return replace(with_pixels(run, theirs), start="checkpoint")
    if goes_on(place, options):
        before = recorded_run(place)
        if keeps_start(run, before["start"], options.weights):
            return replace(with_pixels(run, before), start=before["start"])
    if run.start not in FROM_NO_RUN:
        return with_pixels_of(run, place.sibling(run.start))
    if run.start != "imagenet":
        return run
    if options.weights == "none":
        return replace(run, start="scratch")
    return with_conventions_of(run, options.weights)


def keeps_start(run: Run, before: str, weights: str) -> bool:
    """Whether a training that goes on keeps the start that it began with.

    Args:
        run: at the scale of the command.
        before: ``Run.start`` of the training.
        weights: of the command line. A file may be gone by now: what the training began with says
            which pixels it expects.
    """
    if weights == "auto":
        return before == "checkpoint" or (run.start == "imagenet" and before in FROM_NO_RUN)
    return weights != "none" and run.start == before == "imagenet"


def goes_on(place: RunPlace, options: TrainOptions) -> bool:
    """Whether the training at ``place`` was begun before."""
    return options.resume == "auto" and place.has_checkpoints and place.record.is_file()


def with_batch_size(run: Run, batch_size: int) -> Run:
    """The run with its recipe scaled to a batch; prints the rule and what it changes."""
    scaled = scaled_to_batch(run.train, batch_size)
    rule = "linear" if run.train.optimizer == "sgd" else "square root"
    print(
        f"{rule} scaling: batch {run.train.batch_size} -> {scaled.batch_size}, lr "
        f"{run.train.lr:g} -> {scaled.lr:g}, {run.train.iterations} -> {scaled.iterations} updates"
    )
    return replace(run, train=scaled)


def with_classes(run: Run, classes: Sequence[str]) -> Run:
    """The run with a network that predicts the classes of the data set; says if that changes it."""
    if len(classes) == run.model.num_classes:
        return run
    print(
        f"classes: the run has {run.model.num_classes}, the data set {len(classes)}; the network "
        "predicts the data set's"
    )
    return replace(run, model=replace(run.model, num_classes=len(classes)))
