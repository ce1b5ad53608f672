"""The files that scripts.detect reads and draws, and the detections in an image as plain values."""

from collections import Counter
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any

from torch import Tensor

from data.formats.masks import encode_masks
from data.image_files import IMAGE_SUFFIXES, image_names, is_hidden, is_image_name
from data.records import Detections
from postprocess.masks import paste_masks

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
LISTED = 5  # names of files that were passed over
BACKGROUND = "background"  # the name of no object among the probabilities


def find_images(given: Sequence[Path], out: Path) -> list[Path]:
    """The image files that the command line means; a folder stands for the images in it.

    Prints how many images of which kind a folder holds, and the names of what is passed over.

    Raises:
        ValueError: if a folder holds none, or the results would land among the images, where they
            would be read as images.
    """
    images: dict[Path, None] = {}
    for path in matching(given):
        inside = [path]
        if path.is_dir():
            inside = [path / name for name in image_names(path)]
            inside += sorted(file for file in path.iterdir() if is_video(file))
            others = others_in(path)
            if not inside:
                held = f"; it holds {', '.join(others[:LISTED])}" if others else ""
                raise ValueError(
                    f"The folder {path} holds no {', '.join(IMAGE_SUFFIXES)} files{held}; give "
                    "images, or a folder of them (it is not searched deeper)."
                )
            print(folder_sentence(path, inside, others))
        images |= dict.fromkeys(inside)
    if any(path.parent.resolve() == out.resolve() for path in images):
        raise ValueError(f"--out {out} is a folder of input images; choose another one.")
    return list(images)


def is_video(path: Path) -> bool:
    """Whether the name of a file is that of a video; systems leave hidden ones behind."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not is_hidden(path.name)


def matching(given: Sequence[Path]) -> list[Path]:
    """The paths with each pattern, such as photos/*.jpg in quotes, replaced by what it matches.

    Raises:
        ValueError: a pattern matches nothing.
    """
    paths: list[Path] = []
    for path in given:
        if path.exists() or not any(sign in str(path) for sign in "*?["):
            paths.append(path)
            continue
        found = [Path(name) for name in sorted(glob(str(path), recursive=True))]
        found = [file for file in found if is_video(file) or is_image_name(file.name)]
        if not found:
            raise ValueError(f"No image and no video matches {path}.")
        paths += found
    return paths


def folder_sentence(folder: Path, images: Sequence[Path], others: Sequence[str]) -> str:
    """How many images of which kind a folder holds, and what is passed over."""
    kinds = Counter(path.suffix.lower() for path in images)
    counted = ", ".join(f"{number} {suffix}" for suffix, number in sorted(kinds.items()))
    sentence = f"{folder}: {len(images)} files ({counted})"
    if not others:
        return sentence
    more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
    names = f"{', '.join(others[:LISTED])}{more}"
    return f"{sentence}; passed over, being neither image nor video: {names}"


def others_in(folder: Path) -> list[str]:
    """The sorted names of what a folder holds beside images, a folder with a slash behind it;
    hidden files, which systems leave behind, are not among them.
    """
    others = (path for path in folder.iterdir() if not is_hidden(path.name))
    return sorted(
        f"{path.name}/" if path.is_dir() else path.name
        for path in others
        if path.is_dir() or not (is_image_name(path.name) or is_video(path))
    )


def detections_as_lines(
    detections: Detections, classes: Sequence[str], least_score: float, size: tuple[int, int]
) -> list[dict[str, Any]]:
    """The detections with at least that score as plain values, best first.

    Args:
        detections: of one image, best first.
        classes: names of the classes.
        least_score: of a detection that is reported.
        size: (height, width) px of the image, which is that of the masks.

    Returns:
        "class", "score", "box" and "sigma" (None if there is none) of each, and where there are
        some "probabilities" by the names of all classes, "background" first, and "mask".
    """
    count = int((detections.scores >= least_score).sum())
    sigmas: list[list[float] | None] = [None] * count
    if detections.sigma is not None:
        sigmas = [rounded(row) for row in detections.sigma[:count]]
    labels, scores = detections.labels[:count].tolist(), detections.scores[:count].tolist()
    lines: list[dict[str, Any]] = []
    for label, score, box, sigma in zip(
        labels, scores, detections.boxes[:count], sigmas, strict=True
    ):
        line = {"class": classes[label - 1], "score": round(score, 4), "box": rounded(box)}
        lines.append({**line, "sigma": sigma})
    if detections.probabilities is not None:
        by_name = probabilities_by_name(detections.probabilities[:count], classes)
        lines = [{**line, "probabilities": p} for line, p in zip(lines, by_name, strict=True)]
    if detections.masks is None:
        return lines
    masks = encode_masks(paste_masks(detections.masks[:count], detections.boxes[:count], size))
    return [{**line, "mask": mask} for line, mask in zip(lines, masks, strict=True)]


def probabilities_by_name(probabilities: Tensor, classes: Sequence[str]) -> list[dict[str, float]]:
    """Rows (D, K + 1) of probabilities by the names of all classes, "background" first."""
    names = (BACKGROUND, *classes)
    return [
        dict(zip(names, (round(p, 4) for p in row), strict=True)) for row in probabilities.tolist()
    ]


def rounded(values: Tensor) -> list[float]:
    """The values as hundredths of a px."""
    return [round(value, 2) for value in values.tolist()]


def overlay_files(out: Path, images: Sequence[Path], drawn: dict[Path, str]) -> dict[Path, Path]:
    """The overlay of each image: images of the same name from two folders get a number.

    Args:
        out: the folder.
        images: all of them.
        drawn: the names of overlays that are there and stay.
    """
    files = {image: out / name for image, name in drawn.items()}
    taken = set(files.values())
    for image in images:
        if image not in files:
            files[image] = overlay_file(out, image, taken)
    return files


def overlay_file(out: Path, image: Path, taken: set[Path]) -> Path:
    """A new name in ``out``, added to those that are ``taken``."""
    endings = ["", *(f"-{number}" for number in range(2, len(taken) + 3))]
    names = (out / f"{image.stem}{ending}.png" for ending in endings)
    path = next(name for name in names if name not in taken)
    taken.add(path)
    return path
