"""Detections in COCO's result format: a JSON list of {image_id, category_id, bbox, score}.

bbox is (x, y, width, height) px. Ours have a key more, "sigma": the standard deviations of x1, y1,
x2 and y2 in px; readers of the format leave keys that they do not know alone. Boxes become float32
as everywhere; scores stay float64, so that no two that differ in the file become equal.

Letters: D detections of an image, K classes.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from data.errors import DataError
from data.formats.strict_json import refuse_constant, unique_keys
from data.image_files import without_image_suffix
from data.label_bytes import LARGEST_DATA_SET, label_bytes
from data.problems import is_number, shortened
from data.records import Detections, ImageId

Entry = dict[str, Any]
LISTED = 5  # ids in an error
LONGEST_ID = 1000  # characters, more than a file name can have


@dataclass(frozen=True, kw_only=True)
class ResultsOfImages:
    """The detections of a results file, image by image.

    detections: in the order of the images, best score first. left_out: how many entries are of
    images that were not asked for, and first_left_out the id of the first. without_sigma: how many
    entries have no sigma.
    """

    detections: list[Detections]
    left_out: int
    first_left_out: ImageId | None
    without_sigma: int


def read_results(
    file: Path, image_ids: Sequence[ImageId], category_ids: Sequence[int]
) -> ResultsOfImages:
    """The detections of a results file on known images; entries of other images are counted.

    Args:
        file: the JSON file.
        image_ids: of the images. An id of the file means the same id, the same digits as text, or,
            where the images are known by their names, the name with a suffix or as a number.
        category_ids: entry k - 1 is that of label k.

    Raises:
        DataError: the file is no such list, an entry is not usable, a category is not known, two
            ids mean one image, or no entry is of one of the images.
    """
    entries = _entries(file)
    places = _Places(image_ids)
    labels = {category: label for label, category in enumerate(category_ids, start=1)}
    _check_categories(file, entries, labels)
    per_image: list[list[Entry]] = [[] for _ in image_ids]
    others: list[ImageId] = []
    callers: dict[int, str] = {}  # by the place of an image, the id that means it in the file
    for entry in entries:
        place = places.find(entry["image_id"])
        if place is None:
            others.append(entry["image_id"])
            continue
        caller, name = str(entry["image_id"]), callers.get(place)
        if callers.setdefault(place, caller) != caller:
            raise DataError(
                f"{file}: the image_ids {name!r} and {caller!r} both mean the image"
                f" {image_ids[place]!r} of the data; leave the detections on other images out, or"
                " call each image by its id."
            )
        per_image[place].append(entry)
    if len(others) == len(entries):
        raise DataError(
            f"{file}: none of the {len(entries)} detections is of one of the {len(image_ids)} "
            f"images: the file's image_ids are like {_shown(others)}, the data's like "
            f"{_shown(image_ids)}; give the data, the split or the annotation file that it is of."
        )
    without_sigma = sum(entry.get("sigma") is None for entry in entries)
    return ResultsOfImages(
        detections=[_detections(image, labels, without_sigma == 0) for image in per_image],
        left_out=len(others),
        first_left_out=others[0] if others else None,
        without_sigma=without_sigma,
    )


def _entries(file: Path) -> list[Entry]:
    """The checked entries of a file."""
    try:
        content = json.loads(
            label_bytes(file, LARGEST_DATA_SET),
            parse_constant=refuse_constant,
            object_pairs_hook=unique_keys,
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: the results cannot be read ({error}); replace them.") from error
    if not isinstance(content, list):
        raise DataError(
            f"{file}: COCO results are a list of detections with image_id, category_id, bbox and "
            "score, and this file holds something else (scripts.detect writes another format; "
            "score the checkpoint itself instead)."
        )
    if not content:
        raise DataError(f"{file}: the list of detections is empty; there is nothing to score.")
    for number, entry in enumerate(content):
        problem = _problem(entry)
        if problem:
            raise DataError(f"{file}: entry {number} {problem}; correct or replace the file.")
    return content


def _problem(entry: object) -> str | None:
    """What is wrong with an entry, or None."""
    if not isinstance(entry, dict):
        return "is no object with keys"
    missing = [key for key in ("image_id", "category_id", "bbox", "score") if key not in entry]
    if missing:
        return f"has no {missing[0]}"
    for key, kinds, wanted in (
        ("image_id", int | str, "neither a number nor a text"),
        ("category_id", int | float, "no number"),
    ):
        if not isinstance(entry[key], kinds) or len(str(entry[key])) > LONGEST_ID:
            return f"has the {key} {shortened(entry[key])}, which is {wanted}"
    if not _numbers([entry["score"]], 1):
        return f"has the score {shortened(entry['score'])}, which is no number"
    if not _numbers(entry["bbox"], 4) or min(entry["bbox"][2:]) < 0:
        shown = shortened(entry["bbox"])
        return f"has the bbox {shown}, which is not x, y, width >= 0, height >= 0"
    sigma = entry.get("sigma")
    if sigma is not None and not (_numbers(sigma, 4) and min(sigma) > 0):
        return f"has the sigma {shortened(sigma)}, which is not four positive numbers"
    return None


def _numbers(values: object, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(is_number, values))


class _Places:
    """The place of each image by its id, and by every other key that means it alone."""

    def __init__(self, image_ids: Sequence[ImageId]) -> None:
        self.exact = {str(image_id): place for place, image_id in enumerate(image_ids)}
        others = [(key, place) for text, place in self.exact.items() for key in _other_keys(text)]
        uses = Counter(key for key, _ in others)
        self.other = {key: place for key, place in others if uses[key] == 1}

    def find(self, image_id: ImageId) -> int | None:
        """The place of an image of the file, or None."""
        text = str(image_id)
        for known in (self.exact, self.other):
            for key in (text, without_image_suffix(text), *_other_keys(text)):
                if key in known:
                    return known[key]
        return None


def _other_keys(text: str) -> set[str]:
    """A name without folder and suffix of an image, and the number that it is."""
    stem = without_image_suffix(PurePosixPath(text).name)
    return {stem, str(int(stem))} if stem.isdecimal() else {stem}


def _check_categories(file: Path, entries: Sequence[Entry], labels: dict[int, int]) -> None:
    unknown = sorted({str(e["category_id"]) for e in entries if e["category_id"] not in labels})
    if unknown:
        raise DataError(
            f"{file}: detections have the category_id {_shown(unknown)}, and the data have "
            f"{_shown(list(labels))}; number the categories as the labels do."
        )


def _shown(values: Sequence[object]) -> str:
    more = ", ..." if len(values) > LISTED else ""
    return ", ".join(str(value) for value in values[:LISTED]) + more


def _detections(entries: Sequence[Entry], labels: dict[int, int], with_sigma: bool) -> Detections:
    """The detections of one image; of equal scores the earlier entry comes first."""
    ranked = sorted(entries, key=lambda entry: -entry["score"])
    xywh = torch.tensor([e["bbox"] for e in ranked], dtype=torch.float64).reshape(-1, 4)
    boxes = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1)
    sigma = torch.tensor([e["sigma"] for e in ranked]).reshape(-1, 4) if with_sigma else None
    return Detections(
        boxes=boxes.float(),
        scores=torch.tensor([e["score"] for e in ranked], dtype=torch.float64),
        labels=torch.tensor([labels[e["category_id"]] for e in ranked], dtype=torch.int64),
        sigma=sigma,
    )


def result_entries(
    detections: Detections, image_id: ImageId, category_ids: Sequence[int]
) -> list[Entry]:
    """The entries of one image, all digits of its numbers kept.

    Args:
        detections: of the image; original px.
        image_id: as in the annotation file.
        category_ids: entry k - 1 is that of label k.
    """
    columns = (detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist())
    entries: list[Entry] = [
        {
            "image_id": image_id,
            "category_id": category_ids[label - 1],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for (x1, y1, x2, y2), score, label in zip(*columns, strict=True)
    ]
    if detections.sigma is None:
        return entries
    sigmas = detections.sigma.tolist()
    return [{**entry, "sigma": sigma} for entry, sigma in zip(entries, sigmas, strict=True)]
