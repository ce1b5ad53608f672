"""The embedded mini data set: the rendered scenes of data/mini/scenes.py as files in both public
layouts, COCO and VOC.

Nothing else in the code knows that the data is synthetic. The COCO files carry two optional keys
per annotation, clean_bbox and sigma_true, and the visible pixels of the object as segmentation;
instances_val_clean.json has the images of val with the clean boxes as labels. A stamp file says
which data set a folder holds.

    python -m data.mini.ambiguous --out DIR
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data.errors import DataError
from data.files import remove_leftovers, temporary_path
from data.formats.masks import Rle, encode_masks
from data.mini.appearance import CLASSES, Floats, window
from data.mini.scenes import FIRST_ID, Scene, Split, scene

VERSION = 2  # a change of any pixel, label or mask, by the files of this folder, must raise it
TRAIN_IMAGES = 1200
VAL_IMAGES = 300
STAMP = "mini.json"
JPEG_QUALITY = 92


def _xywh(box: Floats) -> list[float]:
    """COCO's box: x1, y1, width, height."""
    return [round(float(value), 2) for value in (*box[:2], *(box[2:] - box[:2]))]


def _segments(drawn: Scene) -> list[Rle]:
    """The visible pixels of each object of a scene, on the image."""
    masks = np.zeros((len(drawn.labels), *drawn.image.shape[:2]), dtype=np.bool_)
    for mask, box, visible in zip(masks, drawn.clean_boxes, drawn.visible, strict=True):
        mask[window(box)] = visible
    return encode_masks(torch.from_numpy(masks))


def _coco_annotation(
    drawn: Scene, i: int, annotation_id: int, image_id: int, segment: Rle, *, clean: bool
) -> dict[str, object]:
    bbox, clean_bbox = _xywh(drawn.boxes[i]), _xywh(drawn.clean_boxes[i])
    chosen = clean_bbox if clean else bbox
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": int(drawn.labels[i]),
        "bbox": chosen,
        "area": round(chosen[2] * chosen[3], 2),
        "iscrowd": 0,
        "segmentation": segment,
        "clean_bbox": clean_bbox,
        "sigma_true": drawn.sigma_true[i].tolist(),
    }


def _coco_file(
    scenes: Sequence[tuple[int, Scene]], split: Split, seed: int, *, clean: bool = False
) -> str:
    """The text of a COCO instances file of (image id, scene) pairs."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, drawn in scenes:
        height, width = drawn.image.shape[:2]
        images.append(
            {"id": image_id, "file_name": f"{image_id:06d}.jpg", "height": height, "width": width}
        )
        for i, segment in enumerate(_segments(drawn)):
            annotations.append(
                _coco_annotation(drawn, i, len(annotations) + 1, image_id, segment, clean=clean)
            )
    info = {
        "description": "rendered scenes with known label noise (data/mini/ambiguous.py)",
        "version": str(VERSION),
        "seed": seed,
        "boxes": "clean" if clean else "noisy",
        "image_folder": split,
    }
    categories = [
        {"id": k, "name": kind.name, "supercategory": "thing"}
        for k, kind in enumerate(CLASSES, start=1)
    ]
    return json.dumps(
        {"info": info, "images": images, "annotations": annotations, "categories": categories}
    )


def _voc_file(image_id: int, drawn: Scene) -> str:
    """The text of a VOC annotation: 1-based inclusive pixels: x1 and y1 grow by 1; two decimals."""
    height, width = drawn.image.shape[:2]
    objects = "".join(
        f"  <object><name>{CLASSES[label - 1].name}</name><pose>Unspecified</pose>"
        "<truncated>0</truncated><difficult>0</difficult>\n"
        f"    <bndbox><xmin>{x1 + 1:.2f}</xmin><ymin>{y1 + 1:.2f}</ymin>"
        f"<xmax>{x2:.2f}</xmax><ymax>{y2:.2f}</ymax></bndbox></object>\n"
        for label, (x1, y1, x2, y2) in zip(drawn.labels, drawn.boxes, strict=True)
    )
    return (
        f"<annotation>\n  <folder>VOC2007</folder><filename>{image_id:06d}.jpg</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        f"<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def _link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_split(root: Path, split: Split, count: int, seed: int) -> None:
    """Renders ``count`` images of a split into both layouts under ``root``."""
    coco, voc = root / "coco", root / "VOCdevkit" / "VOC2007"
    voc_set = {"train": "trainval", "val": "test"}[split]
    for folder in (
        coco / split,
        coco / "annotations",
        *(voc / name for name in ("Annotations", "JPEGImages")),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    (voc / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)

    scenes = [(FIRST_ID[split] + index, scene(seed, split, index)) for index in range(count)]
    for image_id, drawn in scenes:
        name = f"{image_id:06d}.jpg"
        Image.fromarray(drawn.image).save(coco / split / name, quality=JPEG_QUALITY, subsampling=0)
        _link(coco / split / name, voc / "JPEGImages" / name)
        (voc / "Annotations" / f"{image_id:06d}.xml").write_text(
            _voc_file(image_id, drawn), encoding="utf-8"
        )
    (voc / "ImageSets" / "Main" / f"{voc_set}.txt").write_text(
        "".join(f"{image_id:06d}\n" for image_id, _ in scenes)
    )
    (coco / "annotations" / f"instances_{split}.json").write_text(_coco_file(scenes, split, seed))
    if split == "val":
        (coco / "annotations" / "instances_val_clean.json").write_text(
            _coco_file(scenes, split, seed, clean=True)
        )


def _stamp(seed: int, train: int, val: int) -> dict[str, int]:
    return {"version": VERSION, "seed": seed, "train": train, "val": val}


def _read_stamp(root: Path) -> object:
    """What the stamp file says, or None if there is none that can be read."""
    try:
        return json.loads((root / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_dataset(
    root: str | Path, *, seed: int = 0, train: int = TRAIN_IMAGES, val: int = VAL_IMAGES
) -> Path:
    """Renders the mini data set and writes it in COCO's and VOC's layout, replacing an earlier one.

    Everything is written into a folder beside ``root`` that is renamed at the end, so ``root`` is
    never half full. What a killed process left there is removed.

    Args:
        root: Folder to create. Afterwards it holds
            coco/annotations/instances_{train,val,val_clean}.json, coco/{train,val}/*.jpg,
            VOCdevkit/VOC2007/{Annotations,ImageSets/Main,JPEGImages} and the stamp mini.json.
        seed: Of all scenes.
        train: Number of training images (VOC: trainval).
        val: Number of validation images (VOC: test).

    Returns:
        ``root``, made absolute.

    Raises:
        DataError: ``root`` holds something else than a mini data set, or a count is out of range.
    """
    root = Path(root).resolve()
    _check_request(root, train, val)
    stamp = _stamp(seed, train, val)
    remove_leftovers(root.parent)
    fresh = _temporary_folder(root)
    fresh.mkdir(parents=True)
    try:
        _write_split(fresh, "train", train, seed)
        _write_split(fresh, "val", val, seed)
        (fresh / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
        _replace_folder(root, fresh, stamp)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return root


def _temporary_folder(root: Path) -> Path:
    """A new name beside ``root``, which says whose it is: several threads may render at once."""
    return temporary_path(root.with_name(f"{root.name}-{uuid.uuid4().hex}"))


def _check_request(root: Path, train: int, val: int) -> None:
    if train < 1 or val < 1 or train >= FIRST_ID["val"]:
        raise DataError(
            f"{root}: {train} training and {val} validation images asked for; use 1..100000 and at"
            " least 1"
        )
    if not root.exists() or (root / STAMP).is_file():
        return
    if not root.is_dir() or any(root.iterdir()):
        raise DataError(
            f"{root} exists and is not a mini data set (it has no {STAMP}): choose an empty or new"
            " folder"
        )


def _replace_folder(root: Path, fresh: Path, stamp: dict[str, int]) -> None:
    """Renames the folder ``fresh`` to ``root``; what was there before is removed."""
    stale = _temporary_folder(root)
    try:
        if root.exists() and any(root.iterdir()):
            root.rename(stale)
        try:
            fresh.rename(root)
        except OSError:
            if _read_stamp(root) != stamp:  # else another process was faster with the same scenes
                raise
    finally:
        shutil.rmtree(stale, ignore_errors=True)


def ensure_dataset(
    root: str | Path, *, seed: int = 0, train: int = TRAIN_IMAGES, val: int = VAL_IMAGES
) -> Path:
    """Renders the mini data set unless ``root`` already holds exactly this one; see write_dataset.

    Several processes may call it at once: each renders for itself, the first to finish wins.
    """
    root = Path(root).resolve()
    if _read_stamp(root) == _stamp(seed, train, val):
        return root
    return write_dataset(root, seed=seed, train=train, val=val)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: renders the mini data set into --out unless it is there already."""
    parser = argparse.ArgumentParser(prog="python -m data.mini.ambiguous", description=main.__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the data set, for example datasets/mini"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=TRAIN_IMAGES, help="number of training images")
    parser.add_argument("--val", type=int, default=VAL_IMAGES, help="number of validation images")
    options = parser.parse_args(arguments)
    root = ensure_dataset(options.out, seed=options.seed, train=options.train, val=options.val)
    print(
        f"{root}: {options.train} training and {options.val} validation images, seed {options.seed}"
    )


if __name__ == "__main__":
    main()
