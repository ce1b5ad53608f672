"""Proposals as Detectron and Detectron2 publish them: pickles, which plain_pickle.py reads.

Letters: N images, P proposals of one image, T proposals of all images together.

Detectron has {"ids" or "indexes", "boxes", "scores"}, with corners as inclusive pixels: x2 and y2
grow by 1 in our convention. Detectron2 has {"ids", "boxes", "objectness_logits"}, with continuous
corners, and "bbox_mode" where it is not 0: 1 is corner, width, height. Boxes are in original px,
one (P, 4) array an image in both.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError
from data.formats.plain_pickle import load_plain_pickle
from data.problems import shortened
from data.records import ImageId

CORNERS, CORNER_AND_SIZE = 0, 1  # bbox_mode: XYXY_ABS, XYWH_ABS
IDS_KEYS = ("ids", "image_ids", "indexes")
SCORES_KEYS = ("objectness_logits", "scores")
SHOWN = 8  # keys of a file that is something else
Contents = tuple[tuple[ImageId, ...], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


def read_detectron(path: Path) -> Contents:
    """Image ids, the number of boxes of each image (N,), boxes (T, 4) original px, continuous, and
    scores (T,).

    Raises:
        DataError: the file is no such pickle; says what it has instead.
    """
    content = load_plain_pickle(path)
    ids_key, scores_key = _keys(path, content)
    mode = content.get("bbox_mode", CORNERS)
    if not isinstance(mode, int) or mode not in (CORNERS, CORNER_AND_SIZE):
        raise DataError(
            f"{path} has bbox_mode {shortened(mode)}; convert its boxes to corners (0) or to x, y,"
            " w, h (1)."
        )
    lists = {name: content[name] for name in (ids_key, "boxes", scores_key)}
    _check_lists(path, lists)
    ids = tuple(_image_id(path, value) for value in lists[ids_key])
    images = zip(ids, lists["boxes"], lists[scores_key], strict=True)
    counts = np.array([_count(path, *image) for image in images], dtype=np.int64)
    boxes = concatenate_float32(lists["boxes"], 4)
    if mode == CORNER_AND_SIZE:
        boxes[:, 2:] += boxes[:, :2]
    elif scores_key == "scores":
        boxes[:, 2:] += 1
    return ids, counts, boxes, concatenate_float32(lists[scores_key])


def _keys(path: Path, content: object) -> tuple[str, str]:
    """The names under which the file has its image ids and its scores."""
    keys = list(map(str, content)) if isinstance(content, Mapping) else []
    ids_keys = [name for name in IDS_KEYS if name in keys]
    scores_keys = [name for name in SCORES_KEYS if name in keys]
    if ids_keys and scores_keys and "boxes" in keys:
        return ids_keys[0], scores_keys[0]
    shown = ", ".join(map(repr, keys[:SHOWN]))
    held = f"it has {shown}" if keys else f"it is a {type(content).__name__}"
    raise DataError(
        f"{path} is no file of proposals of Detectron (ids, boxes, scores) or Detectron2 (ids,"
        f" boxes, objectness_logits): {held}; give the file that the proposals of a network were"
        " written to."
    )


def _check_lists(path: Path, lists: Mapping[str, object]) -> None:
    """Stops unless all are lists or arrays with one entry for each image."""
    lengths = {}
    for name, value in lists.items():
        is_number = isinstance(value, np.ndarray) and value.ndim == 0
        if is_number or not isinstance(value, list | tuple | np.ndarray):
            raise _misfit(path, f"{name} that are no list")
        lengths[name] = len(value)
    if len(set(lengths.values())) > 1:
        raise _misfit(path, ", ".join(f"{length} {name}" for name, length in lengths.items()))


def _misfit(path: Path, held: str) -> DataError:
    return DataError(
        f"{path} has {held}; there must be one of each for every image: fetch it again."
    )


def concatenate_float32(parts: Sequence[Any], columns: int | None = None) -> NDArray[np.float32]:
    """All parts in one float32 array of its own, (T, columns) or (T,)."""
    shape = (-1,) if columns is None else (-1, columns)
    arrays = [np.asarray(part, dtype=np.float32).reshape(shape) for part in parts]
    return np.concatenate(arrays) if arrays else np.zeros((0, *shape[1:]), dtype=np.float32)


def _image_id(path: Path, value: object) -> ImageId:
    if isinstance(value, str):
        return str(value)
    number = int(value) if isinstance(value, int | np.integer) else None
    if number is not None and not isinstance(value, bool) and abs(number) < 2**63:
        return number
    shown = shortened(value) if number is None else "an integer of more than 64 bits or a bool"
    raise DataError(f"{path} calls an image {shown}; an image id is an integer or a string.")


def _count(path: Path, image_id: ImageId, boxes: Any, scores: Any) -> int:
    """The number of boxes of one image; an empty list of any shape has none."""
    try:
        arrays = np.asarray(boxes, dtype=np.float32), np.asarray(scores, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} has boxes or scores of image {image_id!r} that are no numbers ({error});"
            " fetch it again."
        ) from error
    if arrays[0].size == arrays[1].size == 0:
        return 0
    if arrays[0].shape != (arrays[1].size, 4) or arrays[1].ndim != 1:
        raise DataError(
            f"{path} has boxes of shape {arrays[0].shape} and scores of shape {arrays[1].shape}"
            f" for image {image_id!r}; expected (P, 4) and (P,): fetch it again."
        )
    return len(arrays[0])
