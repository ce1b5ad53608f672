"""Candidates of a whole test set in one file: flat tensors and a count for each image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.records import Candidates
from scripts.engine.files import load_tensors, save_tensors

FIELDS = ("boxes", "scores", "labels", "variances", "pixel_variances", "localization")


def save_candidates(path: Path, candidates: Sequence[Candidates], key: dict[str, Any]) -> None:
    """Writes the candidates with ``key``, which says what they were computed from."""
    content: dict[str, Any] = {"key": key, "counts": [len(image.scores) for image in candidates]}
    for name in FIELDS:
        parts = [getattr(image, name) for image in candidates]
        content[name] = None if any(part is None for part in parts) else torch.cat(parts)
    save_tensors(path, content)


def load_candidates(path: Path, key: dict[str, Any]) -> list[Candidates] | None:
    """The candidates in ``path``; None if they were computed from another key, or are not there."""
    content = load_tensors(path, {"key", "counts"})
    if content is None or content["key"] != key:
        return None
    counts = content["counts"]
    # an older file has no localization
    columns = {name: split(content.get(name), counts) for name in FIELDS}
    images = []
    for index in range(len(counts)):
        fields = {name: column[index] for name, column in columns.items()}
        images.append(Candidates(**fields))  # type: ignore[arg-type]
    return images


def split(column: Tensor | None, counts: Sequence[int]) -> Sequence[Tensor | None]:
    """The part of each image; None for each where there is no such column."""
    return [None] * len(counts) if column is None else column.split(list(counts))
