"""All numbers of a row: perfect detections score 100, and a metric that is not known is an
error.
"""

from dataclasses import replace

import pytest
import torch

from data.build import build_dataset
from data.records import Candidates
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig
from scripts.engine.inference import detections_of
from scripts.engine.refinement import RowDetections
from scripts.engine.scoring import LabeledDataset, score
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


def test_a_test_set_without_objects_is_an_error(labeled, perfect):
    """Not a table of nan."""
    none = [target.select(torch.zeros(0, dtype=torch.long)) for target in labeled.targets]
    with pytest.raises(ValueError, match="None of the 3 test images has an object"):
        score(perfect, replace(labeled, targets=none), "coco")
