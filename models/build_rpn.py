"""RPNConfig -> RegionProposalNetwork, and the box coders of both stages."""

from functools import partial

import torch
from torch import nn

from data.boxes import BoxCoder, CenterSizeCoder, EdgeCoder
from losses.kl_rpn_loss import positive_anchor_loss, positive_anchor_loss_exponent
from models.anchors import AnchorGenerator, cell_anchors, corner_anchors, rounded_corner_anchors
from models.kl_rpn import KLRPNHead, kl_rpn_loss
from models.rpn import BoxCoding, RegionProposalNetwork, RPNConfig
from models.rpn_head import RPNHead, RPNLoss, rpn_loss

CELL_RULES = {
    "caffe": cell_anchors,
    "torchvision": rounded_corner_anchors,
    "detectron2": corner_anchors,
}
# where gamma stands in KL-RPN's Eq. 7 -> the loss
POSITIVE_LOSSES = {"factor": positive_anchor_loss, "exponent": positive_anchor_loss_exponent}


def build_rpn(
    config: RPNConfig, in_channels: int, strides: tuple[int, ...]
) -> RegionProposalNetwork | None:
    """The first stage; None if the proposals are saved ones.

    Args:
        config: of the first stage.
        in_channels: of the features.
        strides: px a cell of each map, fine to coarse.
    """
    if config.kind == "saved":
        return None
    levels = len(strides)
    anchors = AnchorGenerator(
        sizes=[(size,) for size in config.anchor_sizes] if levels > 1 else [config.anchor_sizes],
        ratios=config.anchor_ratios,
        strides=strides,
        rule=CELL_RULES[config.anchor_rule],
        fit_strides=config.anchor_rule == "torchvision",
    )
    head, loss = build_rpn_head(config, in_channels, anchors.per_position)
    return RegionProposalNetwork(
        anchors=anchors,
        head=head,
        loss=loss,
        coder=build_box_coder(config.box_coding, weight=1.0, minus_one=config.decode_minus_one),
        anchors_per_image=config.anchors_per_image,
        positive_share=config.positive_share,
        positive_iou=config.positive_iou,
        negative_iou=config.negative_iou,
        straddling_anchors=config.straddling_anchors,
        train_counts=(config.pre_nms_train, config.post_nms_train),
        test_counts=(config.pre_nms_test, config.post_nms_test),
        nms_iou=config.nms_iou,
        min_size=config.min_size,
    )


def build_rpn_head(
    config: RPNConfig, in_channels: int, anchors_per_position: int
) -> tuple[nn.Module, RPNLoss]:
    """The layers of the RPN or of KL-RPN, and the loss that trains them.

    Args:
        config: of the first stage; its kind is not "saved".
        in_channels: of the features.
        anchors_per_position: of the anchor generator.
    """
    if config.kind == "rpn":
        head = RPNHead(
            in_channels=in_channels,
            channels=config.channels,
            anchors_per_position=anchors_per_position,
            softmax=config.softmax,
        )
        return head, rpn_loss
    kl_head = KLRPNHead(
        in_channels=in_channels,
        channels=config.channels,
        anchors_per_position=anchors_per_position,
        log_variance_std=config.log_variance_std,
        log_variance_bias=config.log_variance_bias,
    )
    loss = partial(
        kl_rpn_loss,
        mean_error_weight=config.mean_error_weight,
        negative_variance=config.negative_variance,
        log_variance_limit=config.log_variance_limit,
        positive_loss=POSITIVE_LOSSES[config.mean_error_weight_place],
        train_negative_means=config.train_negative_means,
        reduce_coordinates=torch.sum if config.coordinate_reduction == "sum" else torch.mean,
    )
    return kl_head, loss


def build_box_coder(coding: BoxCoding, *, weight: float, minus_one: bool) -> BoxCoder:
    """The coder of offsets.

    Args:
        coding: "center_size" or "edges".
        weight: 10 in the box head, 1 in the region proposal network.
        minus_one: see ``CenterSizeCoder``.
    """
    if coding == "edges":
        return EdgeCoder(weight=weight)
    weights = (weight, weight, max(1.0, weight / 2), max(1.0, weight / 2))
    return CenterSizeCoder(weights=weights, minus_one=minus_one)
