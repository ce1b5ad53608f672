"""A recipe of experiments/own/ on the data that were found, with the options of a user."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.config import DataConfig
from experiments.own.recipe import OwnRecipe, scheduled, updates_an_epoch
from experiments.own.recipes import RECIPES
from experiments.records import Run
from models.backbones.base import BackboneConfig
from scripts.engine.own.data import OwnData
from scripts.engine.run_folder.checkpoint import load_checkpoint
from scripts.engine.saved_record import saved_record
from scripts.engine.weights.conventions import with_conventions_of

OWN = "own"
# fields of DataConfig beside the mirror; a training of few updates is better without
AUGMENTED: dict[str, Any] = {"scale_jitter": (0.8, 1.25), "crop": 0.7, "color": 0.2}
FROZEN_STAGES = {"mobilenet_v2": 11}  # of pretrained weights; two elsewhere


@dataclass(frozen=True, kw_only=True)
class OwnOptions:
    """What only the recipes of experiments/own/ let a user choose; None: the recipe's.

    epochs: how often each image is seen. short_side: network px. lr: for the batch size that is
    trained with. batch_size: images an update. backbone: its name in ModelConfig. empty_images:
    images without objects are trained on as background. augment: sizes, windows and colors of the
    training images vary.
    """

    epochs: int | None = None
    short_side: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    backbone: str | None = None
    empty_images: bool = False
    augment: bool = False


def find_recipe(name: str) -> OwnRecipe:
    """The recipe called "own/NAME".

    Raises:
        ValueError: there is none; lists those that there are.
    """
    recipe = name.removeprefix(f"{OWN}/")
    if recipe not in RECIPES:
        choices = ", ".join(f"{OWN}/{known}" for known in RECIPES)
        raise ValueError(f"There is no recipe {name!r}; choose one of {choices}.")
    return RECIPES[recipe]


def own_run(recipe: OwnRecipe, data: OwnData, options: OwnOptions, images: int) -> Run:
    """The run of a recipe on the data of a user.

    Args:
        recipe: the network and its training.
        data: that were found.
        options: of the user.
        images: how many are trained on.

    Raises:
        ValueError: an option that is not possible.
    """
    run = recipe.run
    if options.backbone is not None and options.backbone != run.model.backbone.name:
        run = with_backbone(run, options.backbone)
    train = run.train
    batch_size = options.batch_size or train.batch_size
    factor = batch_size / train.batch_size
    lr = train.lr * (factor if train.optimizer == "sgd" else factor**0.5)
    epochs = options.epochs or recipe.epochs_for(images, batch_size)
    updates = epochs * updates_an_epoch(images, batch_size)
    train = replace(train, batch_size=batch_size, lr=options.lr or lr)
    return replace(
        run,
        model=replace(run.model, num_classes=len(data.train.classes)),
        data=own_images(run, data, options),
        train=scheduled(train, updates=updates),
    )


def own_images(run: Run, data: OwnData, options: OwnOptions) -> DataConfig:
    """Which images, and how large they are in the network."""
    side = options.short_side or run.data.short_side
    long_side = run.data.long_side
    if long_side is not None:
        long_side = round(long_side * side / run.data.short_side)
    augmented = AUGMENTED if options.augment else {}
    return replace(
        run.data,
        layout=data.found.layout,
        train=(data.train_split,),
        test=data.validation_split,
        short_side=side,
        long_side=long_side,
        train_empty=options.empty_images,
        **augmented,
    )


def with_backbone(run: Run, name: str) -> Run:
    """The run with another backbone, whose weights are torchvision's."""
    old = run.model.backbone
    backbone = BackboneConfig(
        name=name,
        frozen_stages=FROZEN_STAGES.get(name, 2),
        pyramid=old.pyramid,
        pyramid_channels=old.pyramid_channels,
    )
    model = replace(run.model, backbone=backbone)
    return replace(run, model=model, data=replace(run.data, pixels="torchvision"))


def with_start(run: Run, weights: str, start_from: Path | None) -> Run:
    """The run with what its starting weights expect: pixels, padding, the backbone's layout.

    Args:
        run: of a recipe.
        weights: "auto" (torchvision's), "none", or a file with ImageNet weights.
        start_from: the checkpoint to fine-tune; None: ``weights``.

    Raises:
        ValueError: a file that cannot be read.
    """
    if start_from is not None:
        theirs = saved_record(Run, load_checkpoint(start_from)["run"], start_from)
        return with_conventions(run, theirs, start="checkpoint")
    if weights == "none":
        return replace(run, start="scratch")
    return with_conventions_of(run, weights)


def with_conventions(run: Run, theirs: Run, *, start: str) -> Run:
    """The run with the pixels of another network, and its rules where weights depend on them.

    These are padding and strides of the backbone, and the place of anchors and of RoIAlign's
    samples.

    Args:
        run: of a recipe.
        theirs: the run of the other network.
        start: what the run starts from.
    """
    model = run.model
    if theirs.model.backbone.name == model.backbone.name:
        backbone = replace(
            model.backbone,
            tf_padding=theirs.model.backbone.tf_padding,
            resnet_layout=theirs.model.backbone.resnet_layout,
        )
        model = replace(model, backbone=backbone)
    model = replace(
        model,
        rpn=replace(model.rpn, anchor_rule=theirs.model.rpn.anchor_rule),
        roi=replace(
            model.roi,
            aligned=theirs.model.roi.aligned,
            sampling_ratio=theirs.model.roi.sampling_ratio,
        ),
    )
    data = replace(run.data, pixels=theirs.data.pixels)
    return replace(run, start=start, model=model, data=data)
