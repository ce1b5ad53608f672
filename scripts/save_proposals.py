"""Saves a network's proposals for Fast R-CNN: python -m scripts.save_proposals kl_loss/r50_fpn_rpn --scale mini

One forward pass over the training images, as they are and in the order of the data set, and one over the test images,
write proposals-train.npz and proposals-test.npz beside the checkpoint that they come from. scripts.train and
scripts.evaluate do the same for the run that ``Run.proposals`` names, if nobody has before.
"""

import argparse
import hashlib
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from data.formats.saved_proposals import SavedProposals, join_proposals, load_proposals, save_proposals, saved_key
from data.loader import test_batches
from data.records import Dataset, Proposals
from data.sampler import in_order
from experiments.records import Run
from experiments.scales import SCALES
from models.detector import Detector
from scripts.engine.checkpoint import recorded_sha256, sha256
from scripts.engine.command import exit_code
from scripts.engine.places import add_common_arguments, find_run, on_this_data, open_dataset, pick_device, run_folder
from scripts.engine.trained import trained_detector, trained_run

BATCH = 4  # images a forward pass


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("run", help="paper/run, for example kl_loss/r50_fpn_rpn")
    add_common_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unfinished", action="store_true", help="also of a run whose training has not ended")
    return parser.parse_args()


def add_proposals_argument(parser: argparse.ArgumentParser) -> None:
    """--proposals of scripts that train or run networks without a region proposal network."""
    parser.add_argument("--proposals", default=None, metavar="TRAIN_FILE:TEST_FILE", help="Fast R-CNN: the boxes of "
                        "these files (ours, Detectron's or Detectron2's; several joined by +) instead of its run's; a "
                        "part that the script does not need may be empty")


def ensure_proposals(run: Run, folder: Path, args: argparse.Namespace, dataset: Dataset, part: str
                     ) -> SavedProposals | None:
    """The saved proposals that ``run`` learns from and is tested with, computed first if need be; None if the run has a
    region proposal network of its own.

    They come from the files of --proposals, or from the run that ``Run.proposals`` names, trained with the same seed.

    Args:
        folder: of ``run``: the other run's is found beside it.
        dataset: the images that must be covered.
        part: "train", "test", or "test_" and the name of another split to test on.

    Raises: ValueError if the other run is not trained, naming the command; DataError if a given file cannot be used.
    """
    if not run.proposals:
        if args.proposals is not None and part == "train":
            raise ValueError(f"--proposals: {run.name} has a region proposal network of its own; leave the option out, "
                             "or train a Fast R-CNN run.")
        return None
    if args.proposals is not None:
        return given_proposals(args.proposals, part)
    name = f"{folder.parents[1].name}/{run.proposals}"
    proposer = on_this_data(SCALES[args.scale](find_run(name)), args)
    beside = folder.parents[1] / proposer.name / folder.name
    return load_proposals(computed_file(name, proposer, beside, args, dataset, part))


def given_proposals(option: str, part: str) -> SavedProposals:
    """The proposals in the files that --proposals names for one part; their key is the files' hash."""
    train, colon, test = option.partition(":")
    files = [Path(name) for name in (train if part == "train" else test).split("+") if name]
    if not colon or not files:
        raise ValueError(f"--proposals {option!r} names no file for {'training' if part == 'train' else 'testing'}; "
                         "give TRAIN_FILE:TEST_FILE, several files of one part joined by +.")
    found = join_proposals([load_proposals(file) for file in files])
    return replace(found, key=" + ".join(sha256(file) for file in files))


def computed_file(name: str, run: Run, folder: Path, args: argparse.Namespace, dataset: Dataset, part: str) -> Path:
    """The file with the proposals of the trained ``run``: the one that is there if it comes from the newest checkpoint
    and covers the same images, else a new one.

    Args:
        name: "paper/run", as a command names it.
    """
    if run.proposals:
        raise ValueError(f"{name} has no region proposal network: it uses those of {run.proposals}; save these.")
    found = trained_run(run, folder, dataset, argparse.Namespace(**{"unfinished": False, **vars(args)}))
    if found is None:
        raise ValueError(f"There is no trained network in {folder} to take proposals from; train it first: "
                         + shlex.join(["python", "-m", "scripts.train", name, "--scale", args.scale, "--seed",
                                       folder.name.removeprefix("seed"), *where(args)]))
    trained, checkpoint, state = found
    count = trained.model.post_nms_train if part == "train" else trained.model.post_nms_test
    images = json.dumps([[str(image) for image in dataset.image_ids], dataset.sizes])
    key = json.dumps({"checkpoint": recorded_sha256(checkpoint), "count": count,
                      "images": hashlib.sha256(images.encode()).hexdigest()})
    path = folder / f"proposals-{part}.npz"
    if saved_key(path) == key:
        print(f"proposals: {path}, computed before", flush=True)
        return path
    detector = trained_detector(trained, state, pick_device(args.device))
    proposals = first_proposals(detector, trained, dataset, args, count, len(dataset))
    save_proposals(path, dataset.image_ids, proposals, key)
    print(f"proposals: {path}", flush=True)
    return path


def first_proposals(detector: Detector, run: Run, dataset: Dataset, args: argparse.Namespace, count: int,
                    images: int) -> list[Proposals]:
    """The best ``count`` proposals of each of the first ``images`` images, by a forward pass."""
    device = pick_device(args.device)
    found: list[Proposals] = []
    indices: list[int] = []
    shown = range(min(images, len(dataset)))
    batches = test_batches(dataset, run.data, batch_size=BATCH, workers=args.workers, indices=shown)
    began = time.monotonic()
    with tqdm(total=len(shown), desc=f"{run.name} proposals", disable=not sys.stderr.isatty()) as bar:
        for batch in batches:
            found += [image.to("cpu") for image in detector.proposals(batch.to(device), count)]
            indices += batch.indices
            bar.update(len(batch.indices))
    found = in_order(found, indices)
    print(f"{run.name}: {len(found)} images, {sum(len(p.boxes) for p in found)} proposals, "
          f"{len(found) / (time.monotonic() - began):.1f} img/s on {device}", flush=True)
    return found


def where(args: argparse.Namespace) -> list[str]:
    """The arguments that another command must share to use the same data and folders, where they are not defaults."""
    given = {"--data-root": args.data_root, "--splits": args.splits,
             "--out": None if args.out == Path("runs") else args.out}
    return [word for name, value in given.items() if value is not None for word in (name, str(value))] + (
        ["--skip-bad-boxes"] if args.skip_bad_boxes else [])


def save(args: argparse.Namespace) -> None:
    run = on_this_data(SCALES[args.scale](find_run(args.run)), args)
    folder = run_folder(args.out, args.scale, run.name, args.run.partition("/")[0], args.seed)
    for part, split in (("train", run.data.train), ("test", run.data.test)):
        computed_file(args.run, run, folder, args, open_dataset(run, args, split), part)


def main() -> int:
    args = arguments()
    return exit_code(lambda: save(args))


if __name__ == "__main__":
    sys.exit(main())
