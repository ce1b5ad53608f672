"""The networks of an earlier version, whose fields had other names, are still those of their runs."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.scales import SCALES
from scripts.engine.checkpoint import plain
from tests.experiments.test_experiments import RUNS

EARLIER = json.loads(
    (Path(__file__).parent / "earlier_runs.json").read_text()
)  # as commit eed6967 wrote them
BACKBONE = {
    "backbone": "name",
    "width": "width",
    "frozen_stages": "frozen_stages",
    "resnet_blocks": "resnet_blocks",
    "mobilenet_blocks": "mobilenet_blocks",
    "tf_padding": "tf_padding",
}
RPN = {
    "region_proposal": "kind",
    "decode_minus_one": "decode_minus_one",
    "anchor_sizes": "anchor_sizes",
    "anchor_ratios": "anchor_ratios",
    "rpn_batch": "anchors_per_image",
    "rpn_positive_share": "positive_share",
    "rpn_positive_iou": "positive_iou",
    "rpn_negative_iou": "negative_iou",
    "rpn_nms_iou": "nms_iou",
    "mean_error_weight": "mean_error_weight",
    "negative_variance": "negative_variance",
    "coordinate_reduction": "coordinate_reduction",
    "rpn_log_variance_std": "log_variance_std",
    "rpn_log_variance_limit": "log_variance_limit",
    "pre_nms_train": "pre_nms_train",
    "post_nms_train": "post_nms_train",
    "pre_nms_test": "pre_nms_test",
    "post_nms_test": "post_nms_test",
    "min_size": "min_size",
}
ROI = {
    "log_variance": "log_variance",
    "box_coding": "box_coding",
    "class_agnostic": "class_agnostic",
    "decode_minus_one": "decode_minus_one",
    "fc_dims": "fc_dims",
    "dropout": "dropout",
    "pooling": "pooling",
    "pool_size": "pool_size",
    "sampling_ratio": "sampling_ratio",
    "rfcn_pooling": "rfcn_pooling",
    "dilate_first_block": "dilate_first_block",
    "rois_per_image": "rois_per_image",
    "roi_positive_share": "positive_share",
    "roi_positive_iou": "positive_iou",
    "hardest_rois": "hardest",
    "log_variance_limit": "log_variance_limit",
}


@pytest.mark.parametrize("key", EARLIER)
def test_networks_of_an_earlier_version_are_still_those_of_their_runs(key):
    """Under the names of today: fields that were added since are at their defaults, and the rest is what it was."""
    name, scale = key.split()
    earlier, run = dict(EARLIER[key]), plain(asdict(SCALES[scale](RUNS[name])))
    old, new = earlier.pop("model"), run["model"]
    for group, names in (("backbone", BACKBONE), ("rpn", RPN), ("roi", ROI)):
        assert {now: old[before] for before, now in names.items()} == {
            now: new[group][now] for now in names.values()
        }
    assert old["num_classes"] == new["num_classes"]
    assert old["caffe_layout"] is False
    assert new["backbone"]["resnet_layout"] == "torchvision"
    assert new["roi"]["head"] == (
        "rfcn"
        if old["second_stage"] == "rfcn"
        else "conv5"
        if "resnet" in old["backbone"]
        else "mlp"
    )
    assert new["roi"]["box_loss"] == ("kl" if old["log_variance"] else "smooth_l1")
    assert new["rpn"]["box_coding"] == (
        "center_size" if old["region_proposal"] == "kl_rpn" else old["box_coding"]
    )
    width = old["width"] if scale == "mini" else 1  # lite scaled no channels but MobileNetV2's
    assert new["rpn"]["channels"] == old["rpn_dim"] * width
    assert new["roi"]["rfcn_channels"] == old["rfcn_dim"] * width
    assert (new["mask"], new["iou"], new["backbone"]["pyramid"]) == (None, None, False)
    added = run["train"].keys() - earlier["train"].keys()
    assert {
        **earlier["train"],
        **{field: getattr(RUNS[name].train, field) for field in added},
    } == run["train"]
    assert earlier["data"].items() <= run["data"].items()
    assert all(earlier[field] == run[field] for field in earlier.keys() - {"data", "train"})
