"""What scripts.explore looks at: a run, its training images, and the network that proposes RoIs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from data.errors import DataError
from data.loader import usable_images
from data.records import Dataset
from data.sampler import spread_evenly
from experiments.records import Run
from models.build import build_detector
from models.detector import Detector
from scripts.engine.detection.detection import LoadedDetector, load_detector
from scripts.engine.environment import Environment, open_dataset, pick_device, scaled_run
from scripts.engine.own.data import OwnFolder, open_own_data
from scripts.engine.own.recipe import OWN, OwnOptions, find_recipe, own_run
from scripts.engine.places import find_run
from scripts.engine.run_folder.checkpoint import checkpoint_of

SEED = 0  # of an untrained network, and of the training whose draws are shown
MOST_IMAGES = 20  # that one page shows
NEAR = 3  # names that are suggested


@dataclass(frozen=True, kw_only=True)
class ExploreOptions:
    """The options of scripts.explore.

    run: "paper/run" or "own/NAME". checkpoint: of the network that proposes, with its settings in
    the place of the run's; None: an untrained one. images: how many images are shown, or their
    names. counted: how many images are counted, spread evenly; None: all. own: as in training.
    """

    run: str
    environment: Environment
    checkpoint: Path | None = None
    images: int | Sequence[str] = 12
    counted: int | None = None
    own: OwnOptions = field(default_factory=OwnOptions)

    def __post_init__(self) -> None:
        count = self.images if isinstance(self.images, int) else len(self.images)
        if count > MOST_IMAGES:
            raise ValueError(
                f"--images asks for {count} images; a page shows at most {MOST_IMAGES}, so that it "
                "stays small enough for a phone."
            )
        is_own = self.run.startswith(f"{OWN}/") and self.checkpoint is None
        if self.own != OwnOptions() and not is_own:
            raise ValueError(
                "--short-side and --augment belong to an untrained recipe of own/; a paper's run "
                "and a checkpoint have their own settings."
            )


@dataclass(frozen=True, kw_only=True)
class Explored:
    """A run with its training images.

    detector: of the run, on ``device``. network: what it is, in words. sentences: what was found.
    """

    name: str
    run: Run
    dataset: Dataset
    detector: Detector
    device: torch.device
    network: str
    sentences: Sequence[str]


def open_explored(options: ExploreOptions) -> Explored:
    """Opens data and network.

    Raises:
        ValueError: something is not there or does not fit, or the run has no anchors.
    """
    device = pick_device(options.environment.device)
    loaded, path = None, None
    if options.checkpoint is not None:
        path = checkpoint_of(options.checkpoint)
        loaded = load_detector(path, device)
    run, dataset, sentences = run_and_data(options, loaded.run if loaded else None)
    if run.model.rpn.kind == "saved":
        raise ValueError(
            f"{options.run} learns from saved proposals; it has no anchors to show. Name a run "
            "with a region proposal network."
        )
    if loaded is None:
        detector, network = untrained(run, device), "an untrained network, its weights random"
    else:
        detector, network = loaded.detector, trained_words(loaded, path)
    return Explored(
        name=options.run,
        run=run,
        dataset=dataset,
        detector=detector,
        device=device,
        network=network,
        sentences=sentences,
    )


def run_and_data(
    options: ExploreOptions, trained: Run | None
) -> tuple[Run, Dataset, Sequence[str]]:
    """The run, its training images, and what was found, in sentences; masks are not read.

    Args:
        options: of the command.
        trained: the run of the checkpoint, which then takes the place of the one that is named.
    """
    environment = options.environment
    if options.run.startswith(f"{OWN}/"):
        recipe = find_recipe(options.run)
        data = open_own_data(OwnFolder(root=environment.data_root, splits=environment.splits))
        config = replace(recipe.run.data, train_empty=options.own.empty_images)
        images = len(usable_images(data.train, config))
        run = trained or own_run(recipe, data, options.own, images)
        return without_masks(run), data.train, data.sentences
    run = without_masks(trained or scaled_run(find_run(options.run), environment))
    dataset = open_dataset(run, environment, run.data.train)
    return run, dataset, left_out(dataset)


def without_masks(run: Run) -> Run:
    """The run without its data's masks, which are not shown."""
    return replace(run, data=replace(run.data, masks=False))


def left_out(dataset: Dataset) -> list[str]:
    """A sentence about the annotations that were left out, if any were."""
    if not dataset.skipped:
        return []
    return [f"left out: {len(dataset.skipped)} annotations, such as: {dataset.skipped[0]}"]


def untrained(run: Run, device: torch.device) -> Detector:
    """The run's network with random weights, always the same, as a training begins with it.

    It stays in training mode: its norms have seen no image yet.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        detector = build_detector(run.model)
    return detector.to(device).requires_grad_(False)


def trained_words(loaded: LoadedDetector, path: Path | None) -> str:
    """What a trained network is called."""
    return f"the network {path} ({loaded.run.name}, {loaded.updates} updates)"


def chosen_images(
    dataset: Dataset, wanted: int | Sequence[str], usable: Sequence[int]
) -> list[int]:
    """The images that are shown, as indices.

    Args:
        dataset: of the training splits.
        wanted: how many, spread evenly over ``usable``; or names of files, with or without folder.
        usable: the images that training uses.

    Raises:
        DataError: there is no image of a name.
    """
    if isinstance(wanted, int):
        return spread_evenly(usable, wanted)
    places: dict[str, int] = {}
    for index in range(len(dataset)):
        path = Path(dataset.name(index))
        for name in (path.stem, path.name, str(path)):
            places.setdefault(name, index)
    for name in wanted:
        if name not in places:
            some = ", ".join(dataset.name(index) for index in usable[:NEAR])
            raise DataError(
                f"--images {name}: there is no such training image; they are called {some}, ..."
            )
    return list(dict.fromkeys(places[name] for name in wanted))
