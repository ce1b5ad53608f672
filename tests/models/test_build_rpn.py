"""RPNConfig -> RegionProposalNetwork: the coder, the anchors and the head that a config names."""

from functools import partial

import pytest
import torch

from data.boxes import CenterSizeCoder, EdgeCoder
from losses.kl_rpn_loss import positive_anchor_loss, positive_anchor_loss_exponent
from models.build_rpn import build_box_coder, build_rpn
from models.kl_rpn import KLRPNHead, kl_rpn_loss
from models.rpn import RPNConfig
from models.rpn_head import RPNHead, rpn_loss

SMALL = {"channels": 8, "anchor_sizes": (16.0, 32.0)}


def built(strides=(16,), **fields):
    return build_rpn(RPNConfig(**SMALL | fields), 4, strides)


def test_names_choose_the_parts():
    rpn, kl_rpn = built(), built(kind="kl_rpn")
    assert isinstance(rpn.head, RPNHead)
    assert rpn.loss is rpn_loss
    assert isinstance(kl_rpn.head, KLRPNHead)
    assert isinstance(kl_rpn.loss, partial)
    assert kl_rpn.loss.func is kl_rpn_loss
    assert built(kind="saved") is None


def test_offsets_of_the_first_stage_have_weight_one():
    assert built().coder == CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))
    assert built(box_coding="edges").coder == EdgeCoder(weight=1.0)
    assert built(kind="kl_rpn").coder == CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))  # x, y, w, h
    assert not built(decode_minus_one=False).coder.minus_one
    assert build_box_coder("center_size", weight=10.0, minus_one=True) == CenterSizeCoder()


@pytest.mark.parametrize(("name", "reduce"), [("sum", torch.sum), ("mean", torch.mean)])
def test_the_loss_of_kl_rpn_has_the_numbers_of_its_config(name, reduce):
    loss = built(
        kind="kl_rpn", coordinate_reduction=name, mean_error_weight=1.0, negative_variance=0.2
    ).loss
    assert loss.keywords == {
        "mean_error_weight": 1.0,
        "negative_variance": 0.2,
        "log_variance_limit": 20.0,
        "positive_loss": positive_anchor_loss,
        "train_negative_means": True,
        "reduce_coordinates": reduce,
    }


def test_readings_of_kl_rpn_are_switches():
    changed = built(
        kind="kl_rpn",
        mean_error_weight_place="exponent",
        train_negative_means=False,
        log_variance_bias=-1.5,
    )
    assert changed.loss.keywords["positive_loss"] is positive_anchor_loss_exponent
    assert not changed.loss.keywords["train_negative_means"]
    assert (changed.head.log_variance.bias == -1.5).all()
    assert not changed.head.offsets.bias.any()
    with pytest.raises(ValueError, match="mean_error_weight_place is 'base'; choose one of"):
        RPNConfig(mean_error_weight_place="base")


def test_anchors_are_those_of_the_rule():
    """A pyramid has one size a level, one map has all of them."""
    one, pyramid = built().anchors, built(strides=(8, 16)).anchors
    assert one.per_position == 6
    assert (pyramid.per_position, len(pyramid.cell)) == (3, 2)
    assert built(anchor_rule="torchvision").anchors.fit_strides
    assert not built(anchor_rule="detectron2").anchors.fit_strides
    corner = built(anchor_rule="detectron2", anchor_ratios=(1.0,), anchor_sizes=(16.0,)).anchors
    assert corner.cell.tolist() == [[[-8.0, -8, 8, 8]]]
    caffe = built(anchor_ratios=(1.0,), anchor_sizes=(16.0,)).anchors
    assert caffe.cell.tolist() == [[[0.0, 0, 16, 16]]]
