"""Detects in images: python -m scripts.detect CHECKPOINT IMAGE_OR_FOLDER ... --out DIR

Writes DIR/detections.json, {image: [{class, score, box, sigma}, ...]} with boxes (x1, y1, x2, y2)
and sigmas in px of the original image, and for each image an overlay: every box with its class and
score, and along each side a translucent band of one sigma to both sides. Mask R-CNN adds "mask", a
COCO run-length encoding of the image's size, and draws it translucently under the boxes;
--interval adds "interval", (low, high) px of each side; --probabilities adds "probabilities",
{class: p}, with "background" for no object. A video
becomes NAME.jsonl, one line a frame, and NAME.mp4. A command that was stopped goes on with the
images that are not done; videos begin anew.
Exit code: 0 all images done, 1 some could not be read (they are named), 2 nothing could be done, 75
stopped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from postprocess.pipeline import PostprocessConfig
from scripts.engine.command import command_parser, exit_code
from scripts.engine.detection.detection import add_postprocess_options
from scripts.engine.detection.in_files import DetectOptions, detect_in_files
from scripts.engine.detection.results import Format
from scripts.engine.numbers import level, share
from scripts.engine.stopping import signals_interrupt


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("detect", __doc__)
    parser.add_argument(
        "checkpoint", type=Path, help="of scripts.train, or a run's folder: its best.pt"
    )
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="JPEG, PNG, WebP, BMP or TIFF files, folders of them (not searched deeper), patterns "
        "in quotes, or videos (with PyAV: pip install av)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the results go"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--score",
        type=share,
        default=0.5,
        help="least score of a detection that is reported; candidates up to "
        f"{PostprocessConfig.score_threshold:g} are none (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        type=formats,
        default=("json",),
        metavar="LIST",
        help="json, csv, coco, or several with commas: detections.json (default), detections.csv, "
        "detections_coco.json; of a video always NAME.jsonl",
    )
    parser.add_argument("--no-overlays", action="store_true", help="draw no images")
    parser.add_argument(
        "--color",
        choices=("object", "class"),
        default="object",
        help="what has a color of its own in overlays (default: object)",
    )
    parser.add_argument(
        "--interval",
        type=level,
        metavar="LEVEL",
        help="report between which px each side lies with this probability, such as 0.9; best "
        "after scripts.calibrate",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="report the probability of every class, and of none, beside the score",
    )
    add_postprocess_options(parser)
    return parser


def formats(text: str) -> tuple[Format, ...]:
    """The formats in a list with commas.

    Raises:
        argparse.ArgumentTypeError: one of them is unknown.
    """
    known: tuple[Format, ...] = get_args(Format)
    given = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not given or not set(given) <= set(known):
        raise argparse.ArgumentTypeError(f"{text!r} is not made of {', '.join(known)}")
    return tuple(name for name in known if name in given)


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    options = DetectOptions(
        checkpoint=given.checkpoint,
        images=given.images,
        out=given.out,
        device=given.device,
        formats=given.format,
        overlays=not given.no_overlays,
        by_class=given.color == "class",
        least_score=given.score,
        sigma_t=given.sigma_t,
        suppression=given.suppression,
        nms_iou=given.nms_iou,
        probabilities=given.probabilities,
        interval=given.interval,
    )
    with signals_interrupt():
        return exit_code(lambda: detect_in_files(options))


if __name__ == "__main__":
    sys.exit(main())
