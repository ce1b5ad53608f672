"""Masks and refinement after the post-processing, for all rows of a network in one pass over the
images.
"""

from dataclasses import replace

import pytest
import torch

from data.build import build_dataset
from data.formats.masks import decode_masks
from data.loader import test_batches
from data.records import Batch, Detections
from experiments.records import Row, Table
from models.build import build_detector
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from postprocess.masks import paste_masks
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement
from scripts.engine.evaluation.evaluation import evaluate_network, row_key
from scripts.engine.evaluation.refinement import refine_image
from scripts.engine.evaluation.scoring import LabeledDatasets, score
from scripts.engine.evaluation.submission import results_json, write_submissions
from scripts.engine.trained.trained import BATCH, trained_detector, trained_run
from tests.networks import TINY_RESNET, change
from tests.tiny import TINY, environment, know_tiny, train_tiny

RUN = replace(
    TINY,
    name="both",
    data=replace(TINY.data, masks=True),
    model=change(
        TINY.model,
        **TINY_RESNET,
        roi_head="conv5",
        mask=MaskConfig(pool_size=4),
        iou=IoUConfig(rois=8),
    ),
)
NMS = PostprocessConfig(score_threshold=0.1)
ROWS = (
    Row(label="baseline", run=RUN, postprocess=NMS),
    Row(label="again", run=RUN, postprocess=NMS),
    Row(
        label="refined",
        run=RUN,
        postprocess=NMS,
        refine=Refinement(step_size=5.0, least_gain=0.0, worst_loss=-1.0),
    ),
    Row(label="two rounds", run=RUN, postprocess=NMS, rounds=2),
)


@pytest.fixture
def trained(data, tmp_path_factory, monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/both": RUN})
    known = environment(data, tmp_path_factory.getbasetemp() / "refinement")
    assert train_tiny(data, known.out, "kl_loss/both") == 0
    return known, known.run_place("kl_loss", RUN, 0)


def test_rows_share_a_pass_and_differ_in_what_they_ask_for(trained):
    known, place = trained
    labeled = LabeledDatasets(known).of(RUN)
    results = evaluate_network(ROWS, RUN, place, known, labeled.dataset).detections
    assert results.keys() == {row_key(row) for row in ROWS}
    assert len(results) == 3
    base, moved, twice = (results[row_key(ROWS[i])] for i in (0, 2, 3))
    assert all(
        len(row.detections) == len(row.segments) == len(labeled.dataset) for row in results.values()
    )
    assert any(
        not torch.equal(a.boxes, b.boxes)
        for a, b in zip(base.detections, moved.detections, strict=True)
    )
    assert all(
        torch.equal(a.scores, b.scores)
        for a, b in zip(base.detections, moved.detections, strict=True)
    )
    assert sum(len(d.scores) for d in twice.detections) > 0
    numbers = score(base, labeled, "coco")
    assert {"AP", "mask_AP", "mask_AP75"} <= numbers.keys()
    assert (place.folder / "candidates.pt").is_file()
    assert (place.folder / "rounds2-candidates.pt").is_file()


def test_a_submission_has_the_boxes_of_its_row(trained):
    """Refined, or after two rounds through the box head, as the row says."""
    known, place = trained
    table = Table(title="t", metric="coco", columns=("AP",), rows=ROWS)
    table_place = known.table_place("kl_loss/both")
    write_submissions(table, table_place, known, "val", 0)
    dataset = LabeledDatasets(known).of(RUN).dataset
    rows = evaluate_network(ROWS, RUN, place, known, dataset).detections
    for row in ROWS:
        expected = results_json(
            rows[row_key(row)].detections, dataset.image_ids, dataset.category_ids
        )
        name = row.label.replace(" ", "-")
        assert table_place.submission("val", name).read_text() == expected, row.label
    files = {table_place.submission("val", name).read_text() for name in ("baseline", "refined")}
    assert len(files) == 2


def test_the_masks_are_those_of_the_final_boxes(trained):
    known, place = trained
    labeled = LabeledDatasets(known).of(RUN)
    refined = evaluate_network(ROWS, RUN, place, known, labeled.dataset).detections[
        row_key(ROWS[2])
    ]
    detector = trained_detector(trained_run(RUN, place, labeled.dataset), torch.device("cpu"))
    assert sum(len(image.scores) for image in refined.detections)
    for batch in test_batches(labeled.dataset, RUN.data, batch_size=BATCH, workers=0):
        final = [refined.detections[index] for index in batch.indices]
        detections = detector.mask.masks(detector.features(batch), batch, final)
        for index, image, size in zip(batch.indices, detections, batch.original_sizes, strict=True):
            expected = paste_masks(image.masks, image.boxes, size)
            assert torch.equal(decode_masks(refined.segments[index], size).bool(), expected)


def test_only_the_best_boxes_are_refined_and_a_new_score_is_a_new_order():
    torch.manual_seed(0)
    detector = build_detector(RUN.model).eval().requires_grad_(False)
    dataset_size = (64, 80)
    batch = Batch(
        images=torch.randn(1, 3, *dataset_size),
        image_sizes=(dataset_size,),
        original_sizes=(dataset_size,),
        image_ids=("one",),
    )
    boxes = torch.tensor([[5.0, 5, 30, 40], [20, 10, 60, 50], [30, 30, 70, 60]])
    image = Detections(
        boxes=boxes, scores=torch.tensor([0.9, 0.8, 0.7]), labels=torch.tensor([1, 2, 1])
    )
    features = detector.features(batch)
    often = Refinement(most_boxes=2, step_size=50.0, least_gain=0.0, worst_loss=-1.0)
    found = refine_image(detector, features, batch, 0, image, often)
    assert torch.equal(found.boxes[2], boxes[2])
    assert not torch.equal(found.boxes[:2], boxes[:2])
    assert torch.equal(found.scores, image.scores)
    scored = refine_image(detector, features, batch, 0, image, replace(often, multiply_score=True))
    assert scored.scores.tolist() == sorted(scored.scores.tolist(), reverse=True)
    assert scored.scores.tolist()[-1] < 0.7 or scored.labels.tolist() != [1, 2, 1]
    none = Detections(boxes=boxes[:0], scores=image.scores[:0], labels=image.labels[:0])
    assert refine_image(detector, features, batch, 0, none, often).boxes.shape == (0, 4)


def test_the_classes_are_those_of_the_segments(data):
    dataset = build_dataset(RUN.data, data, "val")
    assert [len(dataset.segments(i)) for i in range(len(dataset))] == [
        len(dataset.target(i).labels) for i in range(len(dataset))
    ]
