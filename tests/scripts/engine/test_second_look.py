"""Masks and refinement after the post-processing, for all rows of a network in one pass over the images."""

from dataclasses import replace

import pytest
import torch

from data.build import build_dataset
from data.formats.masks import decode_masks
from data.loader import test_batches
from data.records import Detections
from experiments.records import Row
from models.build import build_detector
from postprocess.masks import paste_masks
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement
from scripts import evaluate
from scripts import train as module
from scripts.engine import places as lookup
from scripts.engine import second_look, start
from scripts.engine.second_look import refined
from scripts.evaluate import look_at, opened, score, way
from scripts.train import train
from tests.tiny import SCALES, TINY, arguments, signal_handlers_kept, tiny_dataset

RUN = replace(
    TINY, name="both", data=replace(TINY.data, masks=True),
    model=replace(TINY.model, backbone="resnet50", resnet_blocks=(1, 1, 1, 1), mask=True, iou_head=True, iou_rois=8,
                  mask_pool_size=4))
NMS = PostprocessConfig(score_threshold=0.1)
ROWS = (
    Row(label="baseline", run=RUN, postprocess=NMS),
    Row(label="again", run=RUN, postprocess=NMS),
    Row(label="refined", run=RUN, postprocess=NMS, refine=Refinement(step_size=5.0, least_gain=0.0, worst_loss=-1.0)),
    Row(label="two rounds", run=RUN, postprocess=NMS, rounds=2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def trained(data, tmp_path_factory, monkeypatch):
    for place in (module, lookup, start, evaluate):
        monkeypatch.setattr(place, "SCALES", SCALES)
    monkeypatch.setattr(module, "find_run", lambda name: RUN)
    args = arguments(data, tmp_path_factory.getbasetemp() / "second_look", run="kl_loss/both")
    with signal_handlers_kept():
        assert train(args) == 0
    return args, args.out / "tiny" / "kl_loss" / "both" / "seed0"


def test_rows_share_a_pass_and_differ_in_what_they_ask_for(trained):
    args, folder = trained
    dataset, targets, segments = opened({}, RUN, args)
    network = look_at(ROWS, RUN, folder, dataset, args)
    assert network.looks.keys() == {way(row) for row in ROWS}
    assert len(network.looks) == 3
    base, moved, twice = (network.looks[way(ROWS[i])] for i in (0, 2, 3))
    assert all(len(look.detections) == len(look.segments) == len(dataset) for look in network.looks.values())
    assert any(not torch.equal(a.boxes, b.boxes) for a, b in zip(base.detections, moved.detections, strict=True))
    assert all(torch.equal(a.scores, b.scores) for a, b in zip(base.detections, moved.detections, strict=True))
    assert sum(len(d.scores) for d in twice.detections) > 0
    numbers = score(base, targets, segments, "coco", dataset.classes)
    assert {"AP", "mask_AP", "mask_AP75"} <= numbers.keys()
    assert (folder / "candidates.pt").is_file()
    assert (folder / "rounds2-candidates.pt").is_file()


def test_the_masks_are_those_of_the_final_boxes(trained):
    args, folder = trained
    dataset = opened({}, RUN, args).dataset
    look = look_at(ROWS, RUN, folder, dataset, args).looks[way(ROWS[2])]
    _, _, state = second_look.trained_run(RUN, folder, dataset, args)
    detector = second_look.trained_detector(RUN, state, torch.device("cpu"))
    assert sum(len(image.scores) for image in look.detections)
    for batch in test_batches(dataset, RUN.data, batch_size=second_look.BATCH, workers=0):
        detections = detector.masks(batch, [look.detections[index] for index in batch.indices])
        for index, image, size in zip(batch.indices, detections, batch.original_sizes, strict=True):
            expected = paste_masks(image.masks, image.boxes, size)
            assert torch.equal(decode_masks(look.segments[index], size).bool(), expected)


def test_only_the_best_boxes_are_refined_and_a_new_score_is_a_new_order():
    torch.manual_seed(0)
    detector = build_detector(RUN.model).eval().requires_grad_(False)
    dataset_size = (64, 80)
    batch = second_look.Batch(images=torch.randn(1, 3, *dataset_size), image_sizes=(dataset_size,),
                              original_sizes=(dataset_size,), image_ids=("one",))
    boxes = torch.tensor([[5.0, 5, 30, 40], [20, 10, 60, 50], [30, 30, 70, 60]])
    image = Detections(boxes=boxes, scores=torch.tensor([0.9, 0.8, 0.7]), labels=torch.tensor([1, 2, 1]))
    features = detector.features(batch)
    often = Refinement(most_boxes=2, step_size=50.0, least_gain=0.0, worst_loss=-1.0)
    found = refined(detector, features, batch, 0, image, often)
    assert torch.equal(found.boxes[2], boxes[2])
    assert not torch.equal(found.boxes[:2], boxes[:2])
    assert torch.equal(found.scores, image.scores)
    scored = refined(detector, features, batch, 0, image, replace(often, multiply_score=True))
    assert scored.scores.tolist() == sorted(scored.scores.tolist(), reverse=True)
    assert scored.scores.tolist()[-1] < 0.7 or scored.labels.tolist() != [1, 2, 1]
    none = Detections(boxes=boxes[:0], scores=image.scores[:0], labels=image.labels[:0])
    assert refined(detector, features, batch, 0, none, often).boxes.shape == (0, 4)


def test_the_classes_are_those_of_the_segments(data):
    dataset = build_dataset(RUN.data, data, "val")
    assert [len(dataset.segments(i)) for i in range(len(dataset))] == [len(dataset.target(i).labels) for i in range(len(dataset))]
