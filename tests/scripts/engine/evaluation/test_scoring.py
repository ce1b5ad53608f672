"""All numbers of a row: perfect detections score 100, and a metric that is not known is an
error.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from data.build import build_dataset
from data.records import Candidates, Detections, Target
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig
from scripts.engine.evaluation.inference import detections_of
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.evaluation.scoring import (
    LabeledDataset,
    coco_scores,
    order_of_ids,
    score,
    validation_scores,
)
from tests.tiny import TINY, tiny_dataset

ROW = Row(label="baseline", run=TINY, postprocess=PostprocessConfig(iou_threshold=0.3))


@pytest.fixture(scope="module")
def labeled(tmp_path_factory):
    dataset = build_dataset(TINY.data, tiny_dataset(tmp_path_factory.mktemp("data")), "val")
    return LabeledDataset(dataset=dataset, targets=[dataset.target(i) for i in range(len(dataset))])


@pytest.fixture(scope="module")
def perfect(labeled):
    candidates = [
        Candidates(boxes=t.boxes, scores=torch.full((len(t.labels),), 0.9), labels=t.labels)
        for t in labeled.targets
    ]
    return RowDetections(detections=detections_of(candidates, ROW))


def test_perfect_detections_score_100(labeled, perfect):
    scores = score(perfect, labeled, "coco")
    assert scores["AP"] == pytest.approx(100)
    assert scores["clean"]["AP50"] < 100.1
    assert scores["clean"]["AP"] < 100  # the labels are noisy
    assert score(perfect, labeled, "voc")["mAP"] == pytest.approx(100)


@pytest.mark.parametrize("metric", ["cocoo", "VOC", "latency", ""])
def test_a_metric_that_is_not_known_is_an_error(labeled, perfect, metric):
    """A typo must not be scored as VOC."""
    with pytest.raises(
        ValueError,
        match=rf"There is no metric '{metric}' of detections; use one of \['coco', 'voc'\]",
    ):
        score(perfect, labeled, metric)


def test_a_validation_gives_the_numbers_of_a_row(labeled, perfect):
    """``score`` knows the mini scenes' clean boxes as well; all else is the same, to the bit."""
    moved = [replace(image, boxes=image.boxes + 2) for image in perfect.detections]
    for metric, key in (("coco", "AP"), ("voc", "mAP75")):
        row = score(RowDetections(detections=moved), labeled, metric)
        row.pop("clean", None)
        scores = validation_scores(
            moved,
            labeled.targets,
            image_ids=labeled.dataset.image_ids,
            classes=labeled.dataset.classes,
            metric=metric,
        )
        assert 0 < scores[key] < 100
        assert repr(sorted(scores.items())) == repr(sorted(row.items()))


def test_a_row_ranks_equal_scores_by_image_id_whatever_the_order_of_the_file(labeled):
    """As a validation does; against the clean boxes as well."""
    order = [2, 0, 1]
    flat = [
        Detections(boxes=t.boxes + 3, scores=torch.full((len(t.labels),), 0.5), labels=t.labels)
        for t in labeled.targets
    ]
    nothing_right = replace(flat[0], boxes=flat[0].boxes + 40)
    detections = [nothing_right, *flat[1:]]
    first = score(RowDetections(detections=detections), labeled, "coco")
    turned = SimpleNamespace(
        image_ids=tuple(labeled.dataset.image_ids[i] for i in order),
        classes=labeled.dataset.classes,
    )
    again = score(
        RowDetections(detections=[detections[i] for i in order]),
        LabeledDataset(dataset=turned, targets=[labeled.targets[i] for i in order]),
        "coco",
    )
    assert 0 < first["AP"] < 100
    assert repr(again) == repr(first)
    unordered = coco_scores(
        [detections[i] for i in order], [labeled.targets[i] for i in order], turned.classes
    )
    assert unordered["AP"] != first["AP"]  # so the order matters here


def test_equal_scores_rank_by_image_id_as_in_coco():
    """A hit and a false alarm with one score: the one in the image with the smaller id is first,
    so the precision at the hit is 1 or 1/2.
    """
    box = torch.tensor([[0.0, 0, 50, 50]])
    detection = Detections(boxes=box, scores=torch.ones(1), labels=torch.ones(1).long())
    hit = Target(boxes=box, labels=torch.ones(1).long())
    nothing = hit.select(torch.zeros(0).long())
    for ids, ap in (((7, 2), 50.0), ((2, 7), 100.0), (("b", "a"), 50.0), ((7, "a"), 100.0)):
        scores = validation_scores([detection] * 2, [hit, nothing], image_ids=ids, classes=["cat"])
        assert scores["AP50"] == pytest.approx(ap), ids
    assert order_of_ids((10, 9, 100)) == [1, 0, 2]
    assert order_of_ids(("10", "9", "100")) == [0, 2, 1]


def test_a_validation_of_nothing_is_an_error():
    nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    detections = Detections(boxes=nothing.boxes, scores=torch.zeros(0), labels=nothing.labels)
    for images in (0, 2):
        with pytest.raises(ValueError, match=f"the {images} images have no labeled object"):
            validation_scores(
                [detections] * images,
                [nothing] * images,
                image_ids=range(images),
                classes=["cat"],
            )


def test_a_test_set_without_objects_is_an_error(labeled, perfect):
    """Not a table of nan."""
    none = [target.select(torch.zeros(0, dtype=torch.long)) for target in labeled.targets]
    with pytest.raises(ValueError, match="the 3 images have no labeled object"):
        score(perfect, replace(labeled, targets=none), "coco")


@pytest.mark.parametrize("metric", ["coco", "voc"])
@pytest.mark.parametrize("ignored", ["crowd", "difficult"])
def test_a_test_set_of_objects_that_do_not_count_is_an_error(labeled, perfect, ignored, metric):
    targets = [
        replace(target, **{ignored: torch.ones_like(target.crowd)}) for target in labeled.targets
    ]
    with pytest.raises(ValueError, match="no crowd and not difficult"):
        score(perfect, replace(labeled, targets=targets), metric)
    ids, classes = labeled.dataset.image_ids, labeled.dataset.classes
    with pytest.raises(ValueError, match="no labeled object that is no crowd and not difficult"):
        validation_scores(
            perfect.detections, targets, image_ids=ids, classes=classes, metric=metric
        )
