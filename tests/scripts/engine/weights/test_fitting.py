"""Which rows of a class layer become which: by name, whatever their order and number."""

import torch

from scripts.engine.weights.fitting import (
    is_class_layer,
    matching_columns,
    rows_fit,
    with_rows,
    without_coded_layers,
)


def test_columns_go_by_name():
    assert matching_columns(["cat", "dog"], ["dog", "bird", "Cat"]) == {0: 0, 1: 2, 3: 1}
    assert matching_columns(["Cat", "cat"], ["cat", "Cat", "CAT"]) == {0: 0, 1: 2, 2: 1, 3: 1}
    assert matching_columns([], ["cat"]) == {0: 0}


def test_blocks_of_four_rows_move_together():
    """Two classes have 3 blocks of 4 rows; ours knows the second of them as its first."""
    theirs = torch.arange(12.0)
    ours = torch.full((16,), -1.0)
    moved = with_rows(ours, theirs, {0: 0, 1: 2}, 2, 3)
    assert moved.tolist() == [0, 1, 2, 3, 8, 9, 10, 11] + 8 * [-1]
    assert (ours == -1).all()


def test_only_layers_of_one_block_size_fit():
    assert rows_fit(torch.zeros(3, 7), torch.zeros(4, 7), 2, 3)
    assert rows_fit(torch.zeros(12), torch.zeros(16), 2, 3)
    assert not rows_fit(torch.zeros(3, 7), torch.zeros(4, 8), 2, 3)  # another width
    assert not rows_fit(torch.zeros(3), torch.zeros(16), 2, 3)  # 1 and 4 rows a class
    assert not rows_fit(torch.zeros(4), torch.zeros(4), 2, 3)


def test_boxes_for_all_classes_alike_have_no_rows_of_a_class():
    """With one class, 4 shared rows would look like 2 blocks of 2."""
    offsets = "roi.head.predictor.offsets.weight"
    assert is_class_layer(offsets, {"roi": {"class_agnostic": False}})
    assert not is_class_layer(offsets, {"roi": {"class_agnostic": True}})
    assert is_class_layer("mask.head.logits.bias", {"roi": {"class_agnostic": True}})
    assert not is_class_layer("rpn.head.offsets.weight", {"roi": {"class_agnostic": False}})


def test_layers_of_another_box_coding_are_left_out():
    """Of R-FCN as of other heads: an offset of the center is no offset of an edge."""
    layers = ("rpn.head.offsets", "roi.head.predictor.offsets", "roi.head.offset_maps")
    state = {f"{layer}.weight": torch.zeros(4) for layer in (*layers, "roi.head.class_maps")}
    center, edges = {"box_coding": "center_size"}, {"box_coding": "edges"}
    theirs = {"rpn": center, "roi": center}
    assert without_coded_layers(state, theirs, theirs).keys() == state.keys()
    kept = without_coded_layers(state, theirs, {"rpn": center, "roi": edges})
    assert list(kept) == ["rpn.head.offsets.weight", "roi.head.class_maps.weight"]
    kept = without_coded_layers(state, theirs, {"rpn": edges, "roi": center})
    assert list(kept) == [name for name in state if not name.startswith("rpn.")]
