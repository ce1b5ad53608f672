"""Scores a detector on labeled images: python -m scripts.score CHECKPOINT_OR_RESULTS --data DIR

CHECKPOINT_OR_RESULTS is a step-*.pt of scripts.train, the folder of a run (its best.pt, else its
newest checkpoint), or anybody's detections in COCO's result format (.json). Writes scores,
precision-recall curves, calibration, confusion matrix and TIDE's errors as JSON, CSV and PNG, and
the detections of a checkpoint as COCO results; docs/scoring.md lists the files.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.engine.detection import add_postprocess_options
from scripts.engine.numbers import at_least_zero, share
from scripts.engine.score import ScoreOptions, score_detections
from scripts.engine.score_data import LabeledFolder
from scripts.engine.score_source import NetworkOptions
from scripts.reports.score import ScoreReport, write_score


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("score", __doc__)
    parser.add_argument("scored", type=Path, metavar="CHECKPOINT_OR_RESULTS")
    add_data_options(parser)
    parser.add_argument(
        "--skip-bad-boxes",
        action="store_true",
        help="leave annotations without a usable box out instead of stopping at them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="where the files go (default: score-SPLIT beside the checkpoint or the results)",
    )
    parser.add_argument("--voc", action="store_true", help="also VOC's mAP")
    parser.add_argument(
        "--confusion-score",
        type=share,
        default=0.5,
        help="least score of a detection in the confusion matrix (default: %(default)s)",
    )
    network = parser.add_argument_group("of a checkpoint")
    network.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    network.add_argument(
        "--workers", type=at_least_zero, default=0, help="processes that read images"
    )
    network.add_argument(
        "--score", type=share, default=None, help="least score of a box (default: 0.05)"
    )
    add_postprocess_options(network)
    return parser


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which labeled images are scored on."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="DIR", help="folder of the labeled images")
    where.add_argument("--annotations", type=Path, metavar="FILE", help="a COCO file of any name")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="what the file names in --annotations are relative to (default: its folder)",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="which images (default: the run's test split, else validation, else test)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    options = ScoreOptions(
        scored=given.scored,
        folder=LabeledFolder(
            root=given.data,
            annotations=given.annotations,
            images=given.images,
            split=given.split,
            skip_bad_boxes=given.skip_bad_boxes,
        ),
        network=NetworkOptions(
            device=given.device,
            workers=given.workers,
            least_score=given.score,
            nms_iou=given.nms_iou,
            sigma_t=given.sigma_t,
            suppression=given.suppression,
        ),
        out=given.out,
        confusion_score=given.confusion_score,
        voc=given.voc,
    )
    return exit_code(lambda: score_and_report(options))


def score_and_report(options: ScoreOptions) -> None:
    """Scores, writes the report, and prints its summary."""
    result = score_detections(options)
    report = ScoreReport(
        facts=result.facts,
        notes=result.notes,
        scores=result.scores,
        voc=result.voc,
        analysis=result.analysis,
        localization=result.localization,
    )
    print(write_score(report, result.out))


if __name__ == "__main__":
    sys.exit(main())
