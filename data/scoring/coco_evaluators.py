"""The two implementations of COCO's matching and 101-point precision: pycocotools' COCOeval, and
that of faster-coco-eval (the extra "fast"), which gives the same tables several times as fast.

Letters: T IoU thresholds, R recalls, K classes, A area ranges, M limits of detections.

faster-coco-eval is taken where it is installed. The environment variable COCO_EVALUATOR, or an
argument, names one of the two instead.
"""

import contextlib
import importlib
import importlib.metadata
import io
import os
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data.errors import DataError

Evaluator = Literal["pycocotools", "faster-coco-eval"]
Kind = Literal["bbox", "segm"]
Rows = list[dict[str, Any]]  # COCO's annotations of all images, with ids from 1 on
Tables = tuple[NDArray[np.float64], NDArray[np.float64]]

VARIABLE = "COCO_EVALUATOR"
MAX_DETECTIONS = (1, 10, 100)  # per image and class, COCOeval's default
# pycocotools divides by the number of detections plus 2^-52, which is lost from two detections on
PRECISION_OF_ONE = 1.0 / (1.0 + 2.0**-52)


def is_fast_installed() -> bool:
    """Whether faster-coco-eval can be imported."""
    try:
        importlib.import_module("faster_coco_eval")
    except ImportError:
        return False
    return True


def chosen_evaluator(name: str | None = None) -> Evaluator:
    """The evaluator that is named, by the argument or else by COCO_EVALUATOR, or the fastest.

    Raises:
        DataError: there is none of that name, or it is not installed.
    """
    name = name or os.environ.get(VARIABLE)
    if not name:
        return "faster-coco-eval" if is_fast_installed() else "pycocotools"
    if name not in get_args(Evaluator):
        raise DataError(
            f"There is no COCO evaluator {name!r}; choose {' or '.join(get_args(Evaluator))}, or "
            f"leave {VARIABLE} empty for the fastest that is installed."
        )
    if name == "faster-coco-eval" and not is_fast_installed():
        raise DataError(
            "The COCO evaluator faster-coco-eval is not installed; install it (pip install "
            f"faster-coco-eval), or leave {VARIABLE} empty."
        )
    return cast(Evaluator, name)


def evaluator_with_version() -> str:
    """The evaluator that scores now and its version, such as "pycocotools 2.0.11"."""
    name = chosen_evaluator()
    return f"{name} {importlib.metadata.version(name)}"


def evaluate_rows(
    annotated: Rows,
    detected: Rows,
    *,
    images: int,
    classes: int,
    kind: Kind,
    evaluator: Evaluator,
) -> Tables:
    """The precision (T, R, K, A, M) and the recall (T, K, A, M) of detections.

    Args:
        annotated, detected: the objects and the detections.
        images, classes: how many; their ids are 1, 2, ...
        kind: whether boxes or masks are compared.
        evaluator: who does it; the tables are the same.

    Returns:
        fractions in 0..1; -1 where a class has no object.
    """
    tables = pycocotools_tables if evaluator == "pycocotools" else fast_tables
    with contextlib.redirect_stdout(io.StringIO()):
        return tables(
            _dataset(annotated, images, classes), _dataset(detected, images, classes), kind
        )


def pycocotools_tables(annotated: dict, detected: dict, kind: Kind) -> Tables:
    """``evaluate_rows`` by pycocotools."""
    evaluation = COCOeval(_indexed(COCO(), annotated), _indexed(COCO(), detected), kind)
    evaluation.params.maxDets = list(MAX_DETECTIONS)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def fast_tables(annotated: dict, detected: dict, kind: Kind) -> Tables:
    """``evaluate_rows`` by faster-coco-eval."""
    fast = importlib.import_module("faster_coco_eval")
    evaluation = fast.COCOeval_faster(
        _indexed(fast.COCO(), annotated), _indexed(fast.COCO(), detected), kind
    )
    params = evaluation.params
    bits = second_recall_bits(annotated["annotations"], len(annotated["categories"]), params)
    more = 2.0 ** (1 - np.arange(bits.max(initial=0) + 1))
    recalls, params.recThrs = params.recThrs, np.append(params.recThrs, more)
    params.maxDets = list(MAX_DETECTIONS)
    evaluation.evaluate()
    evaluation.accumulate()
    return (
        as_pycocotools(evaluation.eval["precision"], len(recalls), bits),
        evaluation.eval["recall"],
    )


def second_recall_bits(annotated: Rows, classes: int, params: Any) -> NDArray[np.int64]:
    """The b (K, A) for which 2^(1 - b) is a recall that two objects reach and one does not.

    Of n objects it is the number of bits of n - 1, since 1 / n < 2^(1 - b) <= 2 / n.
    """
    labels = np.array([row["category_id"] for row in annotated], dtype=np.int64)
    area = np.array([row["area"] for row in annotated])
    crowd = np.array([row["iscrowd"] for row in annotated], dtype=bool)
    counts = [
        np.bincount(labels[~crowd & (area >= low) & (area <= high)], minlength=classes + 1)[1:]
        for low, high in params.areaRng
    ]
    return np.frexp(np.maximum(np.stack(counts, axis=1) - 1, 0))[1].astype(np.int64)


def as_pycocotools(
    precision: NDArray[np.float64], recalls: int, bits: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The precision (T, R, K, A, M) to pycocotools' last digit.

    It differs where a curve begins with one right detection and then a wrong one: pycocotools has
    PRECISION_OF_ONE there instead of 1. Whether the second one is right as well shows in the
    precision at the recall that two right ones reach.

    Args:
        precision: (T, R + B, K, A, M), with the recalls 2, 1, 1/2, 1/4, ... after the R usual ones.
        recalls: R.
        bits: (K, A), which of the B further recalls that is.
    """
    at_second = np.take_along_axis(precision, recalls + bits[None, None, :, :, None], axis=1)
    usual = precision[:, :recalls]
    return np.where((usual == 1.0) & (at_second < 1.0), PRECISION_OF_ONE, usual)


def _dataset(rows: Rows, images: int, classes: int) -> dict[str, Any]:
    """A data set as COCO's files have it."""
    return {
        # the sizes are not read: run lengths have their own
        "images": [{"id": number, "height": 0, "width": 0} for number in range(1, images + 1)],
        "categories": [{"id": label, "name": str(label)} for label in range(1, classes + 1)],
        "annotations": rows,
    }


def _indexed(coco: Any, dataset: dict[str, Any]) -> Any:
    """An empty COCO with this data set; its own loadRes refuses an empty list."""
    coco.dataset = dataset
    coco.createIndex()
    return coco
