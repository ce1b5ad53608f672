"""Saved proposals of a region proposal network, for a Fast R-CNN that has none of its own (KL Loss,
Table 6).

Letters: N images, P proposals of one image, T proposals of all images together. Our file is a .npz
archive without pickles: ``ids`` (N,) as text, ``integer`` (N,) whether the id is an integer,
``counts`` (N,), ``boxes`` (T, 4) float32 in original px, best first within an image, ``scores``
(T,) float32, and ``key``, which says what the proposals were computed from.
data/formats/detectron_proposals.py reads the files of others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import DataError
from data.files import atomic_file
from data.formats.detectron_proposals import concatenate_float32, read_detectron
from data.formats.plain_arrays import load_plain_arrays
from data.formats.proposal_boxes import clean_proposals
from data.records import ImageId, Proposals

MIN_SIZE = 2.0  # px, original: Detectron's least side of a proposal
MEMBERS = ("ids", "integer", "counts", "boxes", "scores", "key")
FLOAT32 = np.dtype(np.float32)
ARCHIVE = b"PK"  # the first bytes of a .npz file


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedProposals:
    """The proposals of N images in a few NumPy arrays: no Python object per image that each worker
    process would copy.

    Image i owns the rows starts[i]:starts[i + 1] of boxes (T, 4) original px and scores (T,), best
    first. ids: text of each image's id; integer: whether it is an integer; order: what sorts
    ``ids``; file: where they come from; key: what they were computed from, "" if that is not known.
    """

    file: str
    ids: NDArray[np.str_]
    integer: NDArray[np.bool_]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    key: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def image_ids(self) -> tuple[ImageId, ...]:
        """The ids in the order of the file, integers as integers."""
        return tuple(
            int(text) if whole else str(text)
            for text, whole in zip(self.ids, self.integer, strict=True)
        )

    def index(self, image_id: ImageId) -> int | None:
        """Which image of the file has this id, or None; 7 and "7" are the same image, as in
        Detectron2.
        """
        position = int(np.searchsorted(self.ids, str(image_id), sorter=self.order))
        if position < len(self.ids) and self.ids[self.order[position]] == str(image_id):
            return int(self.order[position])
        return None

    def check_covers(self, image_ids: Sequence[ImageId]) -> None:
        """Stops at images that the file does not have.

        Args:
            image_ids: those that must be there.

        Raises:
            DataError: an image is missing; a file without any of them is called one of another
                data set.
        """
        missing = [image_id for image_id in image_ids if self.index(image_id) is None]
        if missing and len(missing) == len(image_ids):
            own = f", which are called {self.image_ids[0]!r} and so on," if len(self) else ""
            raise DataError(
                f"{self.file} holds proposals of {len(self)} images{own} but of none of the"
                f" {len(image_ids)} images of this data set, such as {missing[0]!r}; give the"
                " proposals of this data set and split."
            )
        if missing:
            raise self._unknown(
                missing[0], f" and of {len(missing) - 1} more images" if len(missing) > 1 else ""
            )

    def proposals_of(
        self,
        image_id: ImageId,
        size: tuple[int, int],
        *,
        min_size: float = MIN_SIZE,
        count: int | None = None,
    ) -> Tensor:
        """The usable boxes (P, 4) of one image, best first: `clean_proposals` of what the file has.

        Args:
            size: (height, width) of the image, original px.
            min_size, count: as in `clean_proposals`.

        Raises:
            DataError: the file does not know the image.
        """
        i = self.index(image_id)
        if i is None:
            raise self._unknown(image_id, "")
        rows = slice(int(self.starts[i]), int(self.starts[i + 1]))
        return clean_proposals(
            torch.from_numpy(self.boxes[rows].copy()), size, min_size=min_size, count=count
        )

    def _unknown(self, image_id: ImageId, more: str) -> DataError:
        return DataError(
            f"{self.file} has no proposals of image {image_id!r}{more}; give a file of this data"
            " set and split, or compute the proposals again."
        )


def save_proposals(
    path: Path, image_ids: Sequence[ImageId], proposals: Sequence[Proposals], key: str = ""
) -> None:
    """Writes the proposals of N images (original px, best first) so that a reader sees the old file
    or the new.

    Args:
        key: what they were computed from, for `saved_key`.
    """
    texts = [str(image_id) for image_id, _ in zip(image_ids, proposals, strict=True)]
    integer = [isinstance(image_id, int | np.integer) for image_id in image_ids]
    counts, boxes, scores = _flat(proposals)
    with atomic_file(path) as file:
        np.savez(
            file,
            ids=np.array(texts, dtype=np.str_),
            integer=np.array(integer, dtype=np.bool_),
            counts=counts,
            boxes=boxes,
            scores=scores,
            key=np.array(key),
        )


def saved_proposals(
    file: str, image_ids: Sequence[ImageId], proposals: Sequence[Proposals]
) -> SavedProposals:
    """The record of N images' proposals (original px, best first) without a file.

    Args:
        file: where they come from, for messages.

    Raises:
        DataError: an image is there twice, or a number is not finite.
    """
    return _checked(file, tuple(image_ids), *_flat(proposals))


def _flat(
    proposals: Sequence[Proposals],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """How many proposals each image has, and the boxes (T, 4) and scores (T,) of all."""
    boxes = [image.boxes.float().cpu().numpy() for image in proposals]
    scores = [image.objectness.float().cpu().numpy() for image in proposals]
    counts = np.array([len(image) for image in boxes], dtype=np.int64)
    return counts, concatenate_float32(boxes, 4), concatenate_float32(scores)


def saved_key(path: Path) -> str | None:
    """The ``key`` of a file of `save_proposals`, without reading its boxes; None if there is no
    such file, or a damaged one.
    """
    try:
        return str(load_plain_arrays(path, ("key",))["key"])
    except ValueError:
        return None


def load_proposals(path: Path | str) -> SavedProposals:
    """Proposals from our file or from a pickle of Detectron or Detectron2, told apart by what is in
    them.

    Boxes that are not best first within their image are sorted.

    Raises:
        DataError: the file is missing, damaged, or something else; says what, where, and what to
            do.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"The proposals {path} do not exist; give the path of a file, or compute them."
        )
    with path.open("rb") as file:
        archive = file.read(len(ARCHIVE)) == ARCHIVE
    return _from_archive(path) if archive else _checked(str(path), *read_detectron(path))


def join_proposals(parts: Sequence[SavedProposals]) -> SavedProposals:
    """The images of several files, such as those of train2014 and valminusminival2014, one after
    the other.

    Raises:
        DataError: two files know the same image.
    """
    if len(parts) == 1:
        return parts[0]
    counts = [np.diff(part.starts) for part in parts]
    whole = _checked(
        " + ".join(part.file for part in parts),
        tuple(name for part in parts for name in part.image_ids),
        np.concatenate(counts), np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]))  # fmt: skip
    return replace(whole, key=" + ".join(part.key for part in parts))


def _from_archive(path: Path) -> SavedProposals:
    try:
        arrays = load_plain_arrays(path, MEMBERS)
    except ValueError as error:
        raise DataError(
            f"{path} holds no saved proposals, or is damaged ({error}); compute it again."
        ) from error
    texts, integer, counts = arrays["ids"], arrays["integer"], arrays["counts"]
    try:
        ids = tuple(
            int(text) if whole else str(text) for text, whole in zip(texts, integer, strict=True)
        )
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: its image ids cannot be read ({error}); compute it again."
        ) from error
    if (
        counts.ndim != 1
        or counts.dtype.kind != "i"
        or {arrays["boxes"].dtype, arrays["scores"].dtype} != {FLOAT32}
    ):
        raise DataError(
            f"{path} is damaged: its counts, boxes or scores have another type; compute it again."
        )
    return replace(
        _checked(str(path), ids, counts, arrays["boxes"], arrays["scores"]), key=str(arrays["key"])
    )


def _checked(
    file: str,
    ids: tuple[ImageId, ...],
    counts: NDArray[np.int64],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> SavedProposals:
    """The record of these arrays, best first within each image.

    Raises:
        DataError: sizes that do not fit, an image that is there twice, or a number that is not
            finite.
    """
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    total = sum(counts.tolist())  # which cannot overflow
    if (
        len(counts) != len(ids)
        or (counts < 0).any()
        or boxes.shape != (total, 4)
        or scores.shape != (total,)
    ):
        raise DataError(
            f"{file} is damaged: {len(ids)} ids and {len(counts)} counts that sum to {total} do"
            f" not fit boxes of shape {boxes.shape} and scores of shape {scores.shape}; compute or"
            " fetch it again."
        )
    names = np.array([str(image_id) for image_id in ids], dtype=np.str_)
    order = np.argsort(names, kind="stable")
    twice = np.flatnonzero(names[order][1:] == names[order][:-1])
    if len(twice):
        raise DataError(
            f"{file} has the image {str(names[order[twice[0]]])!r} twice; keep one of its lists of"
            " boxes."
        )
    # no copy of gigabytes
    if not np.isfinite(boxes.sum(dtype=np.float64) + scores.sum(dtype=np.float64)):
        row = np.flatnonzero(~(np.isfinite(boxes).all(axis=1) & np.isfinite(scores)))[0]
        bad = int(np.searchsorted(starts, row, side="right")) - 1
        raise DataError(
            f"{file} has a box or score of image {ids[bad]!r} that is not finite; compute it again."
        )
    rising = np.concatenate([[False], scores[1:] > scores[:-1]])[:total]
    rising[starts[:-1][counts > 0]] = False  # the first of an image has no better one
    for i in np.unique(np.searchsorted(starts, np.flatnonzero(rising), side="right") - 1):
        rows = slice(int(starts[i]), int(starts[i + 1]))
        best = np.argsort(-scores[rows], kind="stable")
        boxes[rows], scores[rows] = boxes[rows][best], scores[rows][best]
    return SavedProposals(
        file=file,
        ids=names,
        integer=np.array([isinstance(image_id, int) for image_id in ids], dtype=np.bool_),
        order=order,
        starts=starts,
        boxes=boxes,
        scores=scores,
    )
