"""Detects in images: python -m scripts.detect CHECKPOINT IMAGE_OR_FOLDER ... --out DIR

Writes DIR/detections.json, {image: [{class, score, box, sigma}, ...]} with boxes (x1, y1, x2, y2) and sigmas in px of
the original image, and for each image an overlay: every box with its class and score, and along each side a
translucent band of one sigma to both sides. Mask R-CNN adds "mask", a COCO run-length encoding of the image's size, and
draws it translucently under the boxes. Exit code: 0 all images done, 1 some could not be read (they are named), 2
nothing could be done.
"""

import argparse
import colorsys
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data.config import DataConfig
from data.errors import DataError
from data.formats.masks import decode_masks, encode_masks
from data.images import read_image
from data.records import Batch, Detections
from data.transforms import pad, to_network
from models.build import ModelConfig, build_detector
from models.detector import Detector
from postprocess.masks import paste_masks
from postprocess.pipeline import PostprocessConfig, Suppression, postprocess
from scripts.engine.checkpoint import load_checkpoint, renamed_fields, write_atomically
from scripts.engine.command import exit_code
from scripts.engine.places import pick_device

SUFFIXES = (".jpg", ".jpeg", ".png")
NMS_IOU, NMS_IOU_RESNET50 = 0.3, 0.5  # as in the rows of the tables: py-faster-rcnn's and Detectron's
SIGMA_T = 0.02  # KL Loss section 4
MASK_OPACITY = 100  # of 255
SHORTEST_OVERLAY = 480  # px: a smaller image is drawn enlarged by a whole number, so that the labels can be read
Config = TypeVar("Config", ModelConfig, DataConfig)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.detect", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a step-*.pt of scripts.train")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER",
                        help="JPEG or PNG files, or folders of them (not searched deeper)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--score", type=float, default=0.5, help="least score of a detection that is reported")
    parser.add_argument("--sigma-t", type=float, default=None, help="temperature of var voting, 0 for none (default: "
                        f"{SIGMA_T:g} if the network predicts log variances, else 0)")
    parser.add_argument("--suppression", choices=get_args(Suppression), default="hard")
    return parser.parse_args(arguments)


def rebuilt(kind: type[Config], saved: dict[str, Any], path: Path) -> Config:
    """The config record that a checkpoint keeps as plain values, where tuples have become lists.

    Raises: ValueError if it has a field that this version of the code does not know.
    """
    saved = renamed_fields(saved)
    unknown = sorted(saved.keys() - {field.name for field in fields(kind)})
    if unknown:
        raise ValueError(f"The checkpoint {path} has {kind.__name__} fields that this version does not know "
                         f"({', '.join(unknown)}); use the version of the code that trained it.")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
    return kind(**values)


def load_detector(path: Path, device: torch.device) -> tuple[Detector, ModelConfig, DataConfig, list[str]]:
    """The trained network of a checkpoint, what it is, how it wants its images, and its class names.

    Raises: ValueError if an image is not all that the network needs, or not all that it gives are boxes of classes.
    """
    state = load_checkpoint(path)
    model, data = rebuilt(ModelConfig, state["run"]["model"], path), rebuilt(DataConfig, state["run"]["data"], path)
    if model.second_stage == "none":
        raise ValueError(f"The checkpoint {path} is of a region proposal network alone, whose boxes have no classes; "
                         "give the one of a detector.")
    if model.region_proposal == "saved":
        raise ValueError(f"The checkpoint {path} is of a Fast R-CNN, which has no proposals for new images; give the "
                         "one of a detector with a region proposal network.")
    detector = build_detector(model)
    detector.load_state_dict(state["model"])
    return detector.to(device).eval().requires_grad_(False), model, data, state["classes"]


def chosen_postprocess(args: argparse.Namespace, model: ModelConfig) -> PostprocessConfig:
    """NMS at the threshold of the network's tables, or what the command line says; with var voting if the network
    predicts log variances.

    ``--score`` is not part of it: boxes with lower scores still take part in suppression and voting.
    """
    sigma_t = args.sigma_t if args.sigma_t is not None else SIGMA_T if model.log_variance else 0.0
    if sigma_t > 0 and not model.log_variance:
        raise ValueError(f"--sigma-t {sigma_t:g}: this network predicts no log variances to vote with; leave the "
                         "option out, or give a checkpoint of a run whose name ends in _kl.")
    nms_iou = NMS_IOU_RESNET50 if model.pyramid or model.backbone == "resnet50" else NMS_IOU
    return replace(PostprocessConfig(iou_threshold=nms_iou), suppression=args.suppression, sigma_t=sigma_t)


def find_images(given: Sequence[Path], out: Path) -> list[Path]:
    """The image files that the command line means; a folder stands for the JPEG and PNG files in it.

    Raises: ValueError if the results would land among the images, where a later call would read them as images.
    """
    found: dict[Path, None] = {}
    for path in given:
        inside = sorted(p for p in path.glob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else []
        found |= dict.fromkeys(inside or [path])
    if any(path.parent.resolve() == out.resolve() for path in found):
        raise ValueError(f"--out {out} is a folder of input images; choose another one.")
    return list(found)


def detect(detector: Detector, image: Tensor, name: str, data: DataConfig, config: PostprocessConfig,
           device: torch.device) -> Detections:
    """Detections of one RGB image (3, H, W) uint8, on the CPU, in its own px, with masks if the network makes them."""
    ready, _ = to_network(image, None, short_side=data.short_side, long_side=data.long_side, pixels=data.pixels)
    batch = Batch(images=pad([ready], data.size_divisor), image_sizes=((ready.shape[-2], ready.shape[-1]),),
                  original_sizes=((image.shape[-2], image.shape[-1]),), image_ids=(name,)).to(device)
    features = detector.features(batch)
    found = postprocess(detector.candidates(batch, config.score_threshold, features)[0], config)
    if detector.mask_head is not None:
        found = detector.masks(batch, [found], features)[0]
    return found.to("cpu")


def as_lines(found: Detections, classes: Sequence[str], least_score: float, size: tuple[int, int]
             ) -> list[dict[str, Any]]:
    """The detections with at least that score as plain values, best first; sigma is None if there is none.

    size: (height, width) px of the image, which is that of the masks.
    """
    count = int((found.scores >= least_score).sum())
    sigmas = [None] * count if found.sigma is None else [rounded(row) for row in found.sigma[:count]]
    rows = zip(found.labels[:count].tolist(), found.scores[:count].tolist(), found.boxes[:count], sigmas, strict=True)
    lines = [{"class": classes[label - 1], "score": round(score, 4), "box": rounded(box), "sigma": sigma}
             for label, score, box, sigma in rows]
    if found.masks is None:
        return lines
    masks = encode_masks(paste_masks(found.masks[:count], found.boxes[:count], size))
    return [{**line, "mask": mask} for line, mask in zip(lines, masks, strict=True)]


def rounded(values: Tensor) -> list[float]:
    return [round(value, 2) for value in values.tolist()]


def json_text(results: dict[str, list[dict[str, Any]]]) -> str:
    """The results as JSON with one detection a line."""
    images = (f" {json.dumps(name)}: [" + ",".join(f"\n  {json.dumps(line)}" for line in lines) + "]"
              for name, lines in results.items())
    return "{\n" + ",\n".join(images) + "\n}\n"


def side_bands(box: Sequence[float], sigma: Sequence[float]) -> Iterator[tuple[float, float, float, float]]:
    """For each side of a box (x1, y1, x2, y2) the rectangle of one sigma to both sides of it."""
    x1, y1, x2, y2 = box
    for x, s in ((x1, sigma[0]), (x2, sigma[2])):
        yield x - s, y1, x + s, y2
    for y, s in ((y1, sigma[1]), (y2, sigma[3])):
        yield x1, y - s, x2, y + s


def color(index: int) -> tuple[int, int, int]:
    """A bright color for the class ``index``; neighbors differ, because the steps are the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618 % 1, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlay(image: Tensor, lines: Sequence[dict[str, Any]], classes: Sequence[str]) -> Image.Image:
    """The RGB image (3, H, W) uint8 with what was found drawn onto it, the best detection on top."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    factor = max(1, -(-SHORTEST_OVERLAY // max(picture.size)))
    picture = picture.resize((picture.width * factor, picture.height * factor)).convert("RGBA")
    font = ImageFont.load_default(size=12)
    for line in reversed(lines):
        if "mask" in line:
            bitmap = decode_masks([line["mask"]], (image.shape[-2], image.shape[-1]))[0] * MASK_OPACITY
            shape = Image.fromarray(bitmap.numpy()).resize(picture.size, Image.Resampling.NEAREST)
            picture.paste((*color(classes.index(line["class"])), 255), mask=shape)
    for line in reversed(lines):
        tint = color(classes.index(line["class"]))
        box = [value * factor for value in line["box"]]
        if line["sigma"] is not None:
            bands = Image.new("RGBA", picture.size)
            for band in side_bands(box, [value * factor for value in line["sigma"]]):
                ImageDraw.Draw(bands).rectangle(band, fill=(*tint, 90))
            picture.alpha_composite(bands)
        pen = ImageDraw.Draw(picture)
        pen.rectangle(box, outline=(*tint, 255), width=2)
        corner = (box[0], max(0.0, box[1] - 15))
        text = f"{line['class']} {line['score']:.2f}"
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=(*tint, 255))
        pen.text(corner, text, fill=(0, 0, 0, 255), font=font)
    return picture.convert("RGB")


def overlay_file(out: Path, image: Path, taken: set[Path]) -> Path:
    """A new name in ``out``: images of the same name from two folders get a number."""
    names = (f"{image.stem}{end}.png" for end in ("", *(f"-{number}" for number in range(2, len(taken) + 3))))
    path = next(out / name for name in names if out / name not in taken)
    taken.add(path)
    return path


def run(args: argparse.Namespace) -> int:
    device = pick_device(args.device)
    detector, model, data, classes = load_detector(args.checkpoint, device)
    config = chosen_postprocess(args, model)
    paths = find_images(args.images, args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {}
    drawn: set[Path] = set()
    for path in paths:
        try:
            image = read_image(path)
        except DataError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        found = detect(detector, image, str(path), data, config, device)
        lines = as_lines(found, classes, args.score, (image.shape[-2], image.shape[-1]))
        results[str(path)] = lines
        overlay(image, lines, classes).save(overlay_file(args.out, path, drawn))
    write_atomically(args.out / "detections.json", json_text(results))
    print(f"{sum(map(len, results.values()))} detections in {len(results)} of {len(paths)} images; "
          f"{args.out / 'detections.json'}")
    return 0 if len(results) == len(paths) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    return exit_code(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
