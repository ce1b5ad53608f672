"""The hashes of a data set change with what is trained or scored on, and with nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.annotations import FlatTargets, ImageTable, TableDataset
from data.config import DataConfig
from scripts.engine import data_identity
from scripts.engine.data_identity import differing, scored_digest, training_facts

CONFIG = DataConfig(
    layout="coco", train=("t",), test="v", short_side=64, long_side=96, pixels="torchvision"
)
BOXES = np.array([[0, 0, 9, 9], [1, 1, 8, 8], [2, 2, 7, 7]], dtype=np.float32)
FLAT = FlatTargets(
    starts=np.array([0, 2, 2, 3]),
    boxes=BOXES,
    labels=np.array([1, 2, 1]),
    crowd=np.array([False, True, False]),
    difficult=np.zeros(3, dtype=bool),
    area=np.array([81, 49, 25], dtype=np.float32),
)
TABLE = ImageTable(
    classes=("cat", "dog"),
    image_ids=(7, 8, 9),
    file_names=("a.jpg", "b.jpg", "c.jpg"),
    sizes=((10, 10), (10, 20), (30, 10)),
    targets=FLAT,
)


def dataset(flat=None, **changed):
    table = replace(TABLE, **changed, targets=replace(FLAT, **(flat or {})))
    return TableDataset(table, Path("nowhere"))


def changed_names(other, config=CONFIG):
    before = training_facts(dataset(), config).digests
    return differing(before, training_facts(other, config).digests)


def test_objects_and_images_are_counted_as_training_uses_them():
    facts = training_facts(dataset(), CONFIG)
    assert (facts.images, facts.used, facts.objects) == (3, 2, {"cat": 2, "dog": 0})
    with_all = training_facts(dataset(), replace(CONFIG, train_crowd=True, train_empty=True))
    assert (with_all.used, with_all.objects) == (3, {"cat": 2, "dog": 1})


@pytest.mark.parametrize(
    ("other", "names"),
    [
        (dataset(), []),
        (dataset(file_names=("x.jpg", "y.jpg", "z.jpg")), []),
        (dataset(image_ids=(7, 8, 10)), ["image ids"]),
        (dataset(sizes=((10, 10), (20, 10), (30, 10))), ["sizes"]),
        (dataset({"boxes": BOXES + np.float32(0.5)}), ["annotations"]),
        (dataset({"labels": np.array([1, 2, 2])}), ["annotations"]),
        (dataset({"crowd": np.zeros(3, dtype=bool)}), ["annotations"]),
        (dataset({"difficult": np.ones(3, dtype=bool)}), ["annotations"]),
        (dataset({"starts": np.array([0, 1, 2, 3])}), ["annotations"]),
        (dataset({"area": np.ones(3, dtype=np.float32)}), []),
    ],
)
def test_what_differs_is_named(other, names):
    assert changed_names(other) == names


def test_outlines_count_where_masks_are_trained():
    other = dataset({"area": np.ones(3, dtype=np.float32)})
    assert changed_names(other, replace(CONFIG, masks=True)) == ["annotations"]


def test_facts_do_not_depend_on_how_many_images_are_looked_at_together(monkeypatch):
    whole = training_facts(dataset(), CONFIG)
    monkeypatch.setattr(data_identity, "IMAGES_AT_ONCE", 2)
    assert training_facts(dataset(), CONFIG) == whole


def scored(data, images=3):
    return scored_digest(data, [data.target(index) for index in range(images)])


def test_scores_depend_on_areas_and_clean_boxes_and_only_on_images_that_are_scored():
    assert scored(dataset()) == scored(dataset(file_names=("x", "y", "z")))
    different = [
        dataset({"area": np.ones(3, dtype=np.float32)}),
        dataset({"clean_boxes": BOXES}),
        dataset(image_ids=(7, 8, 10)),
    ]
    assert len({scored(data) for data in [dataset(), *different]}) == 4
    assert scored(dataset(image_ids=(7, 8, 10)), images=2) == scored(dataset(), images=2)
