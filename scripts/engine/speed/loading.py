"""Reading, resizing and batching photos, with 0, 1 and 2 worker processes, beside Pillow and torch
doing the same to one photo after the other in this process.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from data.coco import CocoDataset
from data.loader import network_size, test_batches
from experiments.kl_loss.runs import vgg16_voc
from scripts.engine.files import write_json
from scripts.engine.speed.work import Work

PHOTOS, SIZE = 48, (375, 500)  # of VOC's most common size, px
WORKERS = (0, 1, 2)
CONFIG = vgg16_voc.data


def write_photos(folder: Path) -> CocoDataset:
    """JPEG files as large as VOC's photos, in the COCO layout: coarse noise, without objects."""
    generator = np.random.default_rng(0)
    images = folder / "val"
    images.mkdir()
    for index in range(PHOTOS):
        coarse = generator.integers(0, 255, (-(-SIZE[0] // 25), -(-SIZE[1] // 25), 3), np.uint8)
        picture = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        picture.save(images / f"{index}.jpg", quality=90)
    entries = [
        {"id": index, "file_name": f"{index}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for index in range(PHOTOS)
    ]
    annotations = folder / "annotations"
    annotations.mkdir()
    content = {"images": entries, "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    write_json(annotations / "instances_val.json", content)
    return CocoDataset(folder, "val")


def loading(device: torch.device) -> Iterator[Work]:
    """All photos once, from files to batches of one, resized to 600 px."""
    with TemporaryDirectory() as folder:
        photos = write_photos(Path(folder))
        for workers in WORKERS:
            yield Work(
                part="loading",
                name=f"{SIZE[0]} x {SIZE[1]} px to network size, {workers} worker processes",
                grows="photos",
                size=PHOTOS,
                ours=partial(read_all, photos, workers),
                peer_name="Pillow and interpolate, this process",
                peer=partial(decode_all, photos),
            )


def read_all(photos: CocoDataset, workers: int) -> None:
    """Every photo once, as a batch of its own."""
    for _ in test_batches(photos, CONFIG, batch_size=1, workers=workers):
        pass


def decode_all(photos: CocoDataset) -> None:
    """Every photo once, decoded and resized."""
    for index in range(len(photos)):
        decode_and_resize(photos.file(index))


def decode_and_resize(path: Path) -> torch.Tensor:
    """What reading a photo takes at least: decode and resize, (3, H, W) float32."""
    with Image.open(path) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    wanted = network_size(SIZE, CONFIG)
    image = pixels.permute(2, 0, 1)[None].float()
    return F.interpolate(image, size=wanted, mode="bilinear", align_corners=False)[0]
