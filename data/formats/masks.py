"""COCO's segmentations: polygons and run lengths, from the annotation file to bitmaps and back.

A mask's run-length encoding (RLE) walks down the columns, left column first, and counts how many
pixels in turn are 0, 1, 0, ... Compressed, the counts are one text: that is the one form that this
code keeps, whatever the file holds, since an object of COCO needs some 200 bytes of it.

Letters: T annotations of all images together, G annotations or D detections of one image, H x W
pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask
from torch import Tensor

# {"size": [height, width], "counts": text}: ready for JSON and for pycocotools
Rle = dict[str, Any]


def segmentation_problem(segmentation: object, size: tuple[int, int]) -> str | None:
    """What is wrong with a file's segmentation of an image of (height, width) px, or None.

    It is a list of polygons [x1, y1, x2, y2, ...] of at least 3 points in px, or {"size": [height,
    width], "counts": a list of run lengths or their compressed text}.
    """
    if not segmentation:
        return "it has no segmentation"
    if isinstance(segmentation, list):
        problems = (_polygon_problem(polygon, size) for polygon in segmentation)
        return next((text for text in problems if text), None)
    if not isinstance(segmentation, dict) or not segmentation.keys() >= {"size", "counts"}:
        return (
            "the segmentation is neither a list of polygons nor run lengths with the keys 'size'"
            " and 'counts'"
        )
    return _run_length_problem(segmentation, size)


def usable_polygons(segmentation: object, size: tuple[int, int]) -> tuple[object, str | None]:
    """The polygons of an object without those that cannot be used, if any can.

    Args:
        segmentation: as ``segmentation_problem``.
        size: (height, width) px of the image.

    Returns:
        the segmentation, and what is wrong with the first polygon that was left out, or None.
    """
    if not isinstance(segmentation, list):
        return segmentation, None
    problems = [_polygon_problem(polygon, size) for polygon in segmentation]
    usable = [part for part, text in zip(segmentation, problems, strict=True) if not text]
    if not usable or len(usable) == len(segmentation):
        return segmentation, None
    return usable, next(text for text in problems if text)


def _run_length_problem(segmentation: Rle, size: tuple[int, int]) -> str | None:
    height, width = size
    if segmentation["size"] != [height, width]:
        shown = str(segmentation["size"])[:40]
        return f"the run lengths have size {shown}, not [height, width] = [{height}, {width}]"
    counts = _integer_counts(segmentation["counts"])
    if counts is None or (counts and min(counts) < 0):
        return "the run lengths 'counts' are neither integers from 0 on nor COCO's compressed text"
    if sum(counts) != height * width:
        return f"the run lengths sum up to {sum(counts)} px, not to {height} x {width}"
    return None


def _integer_counts(counts: object) -> list[int] | None:
    """The run lengths of a list or a compressed text; None if it is neither."""
    if isinstance(counts, str):
        return run_lengths(counts)
    if isinstance(counts, list) and set(map(type, counts)) <= {int}:
        return counts
    return None


def _polygon_problem(polygon: object, size: tuple[int, int]) -> str | None:
    if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float}:
        return "a polygon is not a list of numbers"
    if len(polygon) < 6 or len(polygon) % 2:
        return f"a polygon has {len(polygon)} numbers, not x and y of at least 3 points"
    for values, side in ((polygon[::2], size[1]), (polygon[1::2], size[0])):
        if not -side <= min(values) <= max(values) <= 2 * side:
            return "a polygon lies further outside the image than the image is wide or high"
    return None


def run_lengths(text: str) -> list[int] | None:
    """The counts of a compressed RLE, or None if the text is none.

    Characters from "0" on hold 6 bits: 5 of a number, lowest first, and 32 if more of it follow;
    the number is negative if bit 16 of its last character is set. From the fourth count on it is
    the difference from the count two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return None if shift else counts


def compressed_rle(segmentation: Any, size: tuple[int, int]) -> str:
    """The text of the compressed RLE of a segmentation without problem; the polygons of one object
    are united.
    """
    if isinstance(segmentation, list):
        return mask.merge(mask.frPyObjects(segmentation, *size))["counts"].decode()
    if isinstance(segmentation["counts"], str):
        return segmentation["counts"]
    return mask.frPyObjects(segmentation, *size)["counts"].decode()


def encode_masks(masks: Tensor) -> list[Rle]:
    """RLEs of bitmaps (D, H, W) bool or uint8 of 0 and 1.

    Law: ``decode_masks(encode_masks(m), (H, W)) == m``.
    """
    columns = np.asfortranarray(masks.cpu().numpy().astype(np.uint8, copy=False).transpose(1, 2, 0))
    return [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in mask.encode(columns)]


def decode_masks(rles: Sequence[Rle], size: tuple[int, int]) -> Tensor:
    """Bitmaps (G, H, W) uint8 of 0 and 1; ``size`` (height, width) px is that of the RLEs, and of
    no RLE at all.
    """
    if not rles:
        return torch.zeros(0, *size, dtype=torch.uint8)
    return torch.from_numpy(mask.decode(list(rles)).transpose(2, 0, 1)).contiguous()


def mask_areas(rles: Sequence[Rle]) -> list[float]:
    """Number of pixels of each mask, px^2."""
    # one by one: pycocotools refuses more than 255 at a time
    return [float(mask.area(rle)) for rle in rles]


@dataclass(frozen=True, kw_only=True)
class Segments:
    """The compressed RLEs of T annotations in two arrays, so that worker processes share them:
    annotation t owns text[starts[t]:starts[t + 1]].
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def rles(self, first: int, end: int, size: tuple[int, int]) -> list[Rle]:
        """The RLEs of annotations first .. end - 1, of one image of (height, width) px."""
        bounds = self.starts[first : end + 1].tolist()
        return [{"size": list(size), "counts": self.text[start:stop].tobytes().decode()}
                for start, stop in pairwise(bounds)]  # fmt: skip


def pack_segments(texts: Sequence[str]) -> Segments:
    """The flat form of the compressed RLEs of any number of annotations."""
    return Segments(
        text=np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8),
        starts=np.cumsum([0, *map(len, texts)], dtype=np.int64),
    )
