"""Candidates of a whole test set in one file: flat tensors and a count for each image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

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
    """The candidates in ``path`` if they were computed from ``key``, else None (then they are computed again)."""
    content = load_tensors(path, {"key", "counts"})
    if content is None or content["key"] != key:
        return None
    present = {name: content.get(name) for name in FIELDS}  # an older file has no localization
    parts = {name: None if value is None else value.split(content["counts"]) for name, value in present.items()}
    return [Candidates(**{name: None if part is None else part[i] for name, part in parts.items()})  # type: ignore[arg-type]
            for i in range(len(content["counts"]))]
