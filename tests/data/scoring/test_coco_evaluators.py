"""Both COCO evaluators give the same tables, to the last digit, and which one is taken."""

import numpy as np
import pytest
import torch

from data.errors import DataError
from data.formats.masks import encode_masks
from data.records import Detections, Target
from data.scoring import coco_evaluators
from data.scoring.coco import coco_tables, evaluate_coco
from data.scoring.coco_evaluators import PRECISION_OF_ONE, chosen_evaluator, evaluator_with_version

BOTH = ("pycocotools", "faster-coco-eval")
EDGES = torch.tensor([0.0, 1, 5, 31, 32, 33, 64, 95, 96, 97, 150])  # px, around COCO's sizes


@pytest.fixture
def fast():
    pytest.importorskip("faster_coco_eval", reason="the extra 'fast' is not installed")


def random_image(rng, objects, detections, classes):
    """One image with sides of EDGES, repeated boxes, crowds, foreign areas and tied scores."""
    sides = EDGES[torch.randint(len(EDGES), (objects, 2), generator=rng)]
    corner = torch.randint(0, 20, (objects, 2), generator=rng) * 10.0
    boxes = torch.cat([corner, corner + sides], dim=1)
    labels = torch.randint(1, classes + 1, (objects,), generator=rng)
    area = sides.prod(dim=1) * torch.where(torch.rand(objects, generator=rng) < 0.3, 0.5, 1.0)
    target = Target(
        boxes=boxes, labels=labels, area=area, crowd=torch.rand(objects, generator=rng) < 0.2
    )
    meant = torch.randint(max(objects, 1), (detections,), generator=rng)
    if not objects:
        boxes, labels = torch.tensor([[0.0, 0, 32, 32]]), torch.ones(1, dtype=torch.int64)
    shift = torch.randint(-2, 3, (detections, 4), generator=rng) * 3.0
    found = boxes[meant] + shift * (torch.rand(detections, 1, generator=rng) < 0.6)
    wrong = torch.randint(1, classes + 1, (detections,), generator=rng)
    right = torch.rand(detections, generator=rng) < 0.8
    return target, Detections(
        boxes=torch.cat([found[:, :2], torch.maximum(found[:, :2], found[:, 2:])], dim=1),
        scores=torch.randint(0, 20, (detections,), generator=rng) / 20,
        labels=torch.where(right, labels[meant], wrong),
    )


def random_data(seed, images=8, classes=3, most=12):
    rng = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most, (images, 2), generator=rng).tolist()
    pairs = [random_image(rng, objects, 3 * found, classes) for objects, found in counts]
    return [found for _, found in pairs], [target for target, _ in pairs]


def masks_of(boxes):
    """Each box without its upper left pixel, cut at 220 px, as RLE."""
    y, x = torch.arange(220)[:, None], torch.arange(220)[None, :]
    bitmaps = [
        (x >= x1) & (x < x2) & (y >= y1) & (y < y2) & (x + y > x1 + y1)
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    return encode_masks(torch.stack(bitmaps)) if bitmaps else []


def assert_same_tables(detections, targets, classes, segments=None):
    slow, quick = (
        coco_tables(detections, targets, classes, segments, evaluator=name) for name in BOTH
    )
    for expected, table in zip(slow, quick, strict=True):
        np.testing.assert_array_equal(table, expected, strict=True)
    return quick


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("seed", range(4))
def test_boxes_have_the_same_tables(seed):
    precision, _ = assert_same_tables(*random_data(seed), 4)
    assert (precision > 0).any()
    assert (precision[:, :, 3] == -1).all()  # a class without objects


@pytest.mark.usefixtures("fast")
def test_masks_have_the_same_tables():
    detections, targets = random_data(7, images=5)
    segments = [masks_of(d.boxes) for d in detections], [masks_of(t.boxes) for t in targets]
    precision, _ = assert_same_tables(detections, targets, 3, segments)
    assert (precision > 0).any()


@pytest.mark.usefixtures("fast")
def test_nothing_has_the_same_tables():
    nothing = torch.zeros(0)
    empty = Detections(boxes=nothing.reshape(0, 4), scores=nothing, labels=nothing.long())
    bare = Target(boxes=nothing.reshape(0, 4), labels=nothing.long())
    one = Target(boxes=torch.tensor([[0.0, 0, 40, 40]]), labels=torch.ones(1, dtype=torch.int64))
    assert_same_tables([], [], 2)
    assert_same_tables([empty, empty], [one, bare], 2)
    assert_same_tables([empty], [bare], 2, ([[]], [[]]))


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("objects", [1, 2, 3, 4, 101, 128, 300])
@pytest.mark.parametrize("hits", [1, 2, 3])
def test_the_first_precision_is_equal_for_any_number_of_objects(objects, hits):
    """``hits`` right detections, then wrong ones: pycocotools' precision of a single one is
    1 - 2^-52.
    """
    hits = min(hits, objects)
    boxes = torch.tensor([0.0, 0, 50, 50]).repeat(objects, 1)
    boxes += 60.0 * torch.arange(objects)[:, None]
    wrong = torch.arange(min(objects, 6)) >= hits
    found = boxes[:6] + torch.tensor([0.0, 1e5, 0, 1e5]) * wrong[:, None]
    ones = torch.ones(objects, dtype=torch.int64)
    detections = Detections(
        boxes=found, scores=torch.linspace(0.9, 0.1, len(found)), labels=ones[:6]
    )
    precision, _ = assert_same_tables([detections], [Target(boxes=boxes, labels=ones)], 1)
    assert precision[0, 0, 0, 0, 2] == (PRECISION_OF_ONE if hits == 1 else 1.0)


def test_the_evaluator_is_the_named_one_or_the_fastest(monkeypatch):
    monkeypatch.delenv("COCO_EVALUATOR", raising=False)
    monkeypatch.setattr(coco_evaluators, "is_fast_installed", lambda: False)
    assert chosen_evaluator() == "pycocotools"
    assert evaluator_with_version().startswith("pycocotools 2.")
    with pytest.raises(DataError, match="pip install faster-coco-eval"):
        chosen_evaluator("faster-coco-eval")
    monkeypatch.setattr(coco_evaluators, "is_fast_installed", lambda: True)
    assert chosen_evaluator() == "faster-coco-eval"
    assert chosen_evaluator("pycocotools") == "pycocotools"
    monkeypatch.setenv("COCO_EVALUATOR", "pycocotools")
    assert chosen_evaluator() == "pycocotools"
    monkeypatch.setenv("COCO_EVALUATOR", "cocoapi")
    with pytest.raises(DataError, match="no COCO evaluator 'cocoapi'; choose pycocotools or"):
        evaluate_coco([], [], 1)
