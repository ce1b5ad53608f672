"""ModelConfig -> Detector: the only place that chooses by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder, CenterSizeCoder, EdgeCoder
from models.anchors import AnchorGenerator, cell_anchors, corner_anchors, rounded_corner_anchors
from models.backbones.base import Backbone, initialize, scaled
from models.backbones.fpn import FPN, xavier
from models.backbones.mobilenet import CONV5_BLOCK, MobileNetHead, MobileNetV2
from models.backbones.resnet import RESNET50, RESNET101, Conv5Head, ResNet, conv5
from models.backbones.vgg import VGG16, VGGCNNM1024
from models.detector import Detector, Pool, RPNLosses
from models.heads import RoIHead, TwoMLPHead
from models.iou_net import IoUHead
from models.kl_rpn import KLRPNHead, kl_rpn_losses
from models.mask import MaskHead
from models.pooling.multi_level import multi_level_roi_align
from models.pooling.prroi_pool import multi_level_prroi
from models.pooling.ps_roi_align import ps_roi_align_batched, ps_roi_pool_batched
from models.pooling.roi_align import roi_align_batched, roi_max_pool_batched
from models.predictor import BoxPredictor
from models.rfcn import RFCNHead
from models.rpn import RPNHead, rpn_losses

BackboneName = Literal["vgg16", "vgg_cnn_m_1024", "resnet50", "resnet101", "mobilenet_v2"]
SecondStage = Literal["faster_rcnn", "rfcn", "none"]
RegionProposal = Literal["rpn", "kl_rpn", "saved"]
BoxCoding = Literal["center_size", "edges"]
Pooling = Literal["align", "max", "precise"]
AnchorRule = Literal["caffe", "torchvision", "detectron2"]
ResNetLayout = Literal["torchvision", "caffe", "detectron"]
PositionSensitivePooling = Literal["align", "average"]
CoordinateReduction = Literal["sum", "mean"]
RESNET_BLOCKS = {"resnet50": RESNET50, "resnet101": RESNET101}
CELL_RULES = {"caffe": cell_anchors, "torchvision": rounded_corner_anchors, "detectron2": corner_anchors}
ROI_LEVELS = 4  # of a pyramid; the coarsest map is the region proposal network's alone


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A two-stage network. Defaults: py-faster-rcnn's VGG-16 end-to-end recipe (docs/kl_loss.md)."""

    backbone: BackboneName
    num_classes: int  # K foreground classes
    second_stage: SecondStage = "faster_rcnn"  # "none": the region proposal network alone
    region_proposal: RegionProposal = "rpn"  # "kl_rpn": mean and log variance, no class; "saved": a file of proposals
    pyramid: bool = False  # FPN: five levels at strides 4 .. 64 instead of one at 16
    pyramid_dim: int = 256  # channels of each level, before ``width``
    canonical_size: float = 224.0  # FPN Eq. 1: px, the RoI that is pooled from the level at stride 16
    mask: bool = False  # Mask R-CNN: a mask head on the foreground RoIs
    mask_dim: int = 256  # channels of its convolutions, before ``width``
    mask_pool_size: int = 14  # bins a side; the masks have twice as many cells
    mask_soft_targets: bool = False  # interpolated targets (torchvision) instead of 0 and 1 (Detectron)
    iou_head: bool = False  # IoU-Net: predicts each box's IoU with its object
    iou_rois: int = 256  # jittered ground-truth boxes an image that the IoU head learns from
    iou_loss_weight: float = 5.0  # not stated in IoU-Net; that of the reimplementation which reaches its gain
    log_variance: bool = False  # KL Loss: predict ln sigma^2 of each box side, train with Eq. 9, 10
    box_coding: BoxCoding = "center_size"  # "edges" is KL Loss Eq. 1, in the box head and in the RPN, not in KL-RPN
    class_agnostic: bool = False  # one box for all classes
    decode_minus_one: bool = True  # False: center-size decoding is 1 px too large, as in faster-rcnn.pytorch
    width: float = 1.0  # multiplies the backbone's and the RPN's channels
    fc_dims: tuple[int, int] = (4096, 4096)  # fc6, fc7
    dropout: float = 0.0  # after fc6 and fc7; 0.5 in the VOC recipes
    frozen_stages: int = 2  # of the backbone; 2 = conv1_x, conv2_x of VGG-16
    resnet_blocks: tuple[int, int, int, int] | None = None  # residual blocks a stage; None: the published numbers
    resnet_layout: ResNetLayout = "torchvision"  # where a stage's stride is and how the first pooling rounds
    mobilenet_blocks: int = 19
    conv5_head: bool = False  # MobileNetV2: its blocks from 14 on are the box head, as conv5 is a ResNet's
    tf_padding: bool = False  # MobileNetV2 weights that come from TensorFlow
    pooling: Pooling = "align"  # "max" is Fast R-CNN's RoI max pooling, "precise" IoU-Net's PrRoI pooling
    aligned: bool = False  # RoIAlign: shifted by half a cell, as in Detectron2
    pool_size: int = 7  # bins a side
    sampling_ratio: int = 2  # samples a bin side; 0 = adaptive
    rfcn_dim: int = 1024  # R-FCN: channels of the reduction, before ``width``
    rfcn_pooling: PositionSensitivePooling = "align"  # PSRoIAlign; "average" is R-FCN's own PSRoIPool
    dilate_first_block: bool = False  # R-FCN: dilation 2 also in conv5's first block (Caffe) or only in the others
    anchor_sizes: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)  # px, network; with a pyramid one a level
    anchor_rule: AnchorRule = "caffe"  # how a cell's anchors are centered and rounded, models/anchors.py
    straddling_anchors: bool = False  # whether anchors that cross the image boundary are learned from
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    rpn_dim: int = 512  # channels of the 3x3 convolution, before ``width``
    rpn_softmax: bool = True  # objectness by a two-way softmax (Caffe) instead of one logit (Detectron)
    rpn_batch: int = 256  # sampled anchors an image
    rpn_positive_share: float = 0.5
    rpn_positive_iou: float = 0.7
    rpn_negative_iou: float = 0.3
    rpn_nms_iou: float = 0.7
    mean_error_weight: float = 0.5  # KL-RPN: gamma of Eq. 4 and 7; 1 is the textbook divergence
    negative_variance: float = 1 / 3  # KL-RPN: variance that a negative anchor's offsets should have
    coordinate_reduction: CoordinateReduction = "sum"  # KL-RPN: of an anchor's four losses
    rpn_log_variance_std: float = 1e-5  # KL-RPN: standard deviation of the initial weights of the log variances
    rpn_log_variance_limit: float | None = 20.0  # KL-RPN: bound of |ln sigma^2| in the loss; not in the paper
    pre_nms_train: int = 12000
    post_nms_train: int = 2000
    pre_nms_test: int = 6000
    post_nms_test: int = 300
    min_size: float = 16.0  # px, original image: least side of a proposal
    rois_per_image: int = 128
    roi_positive_share: float = 0.25
    roi_positive_iou: float = 0.5
    box_smooth_l1_beta: float = 1.0  # of the box head's smooth L1
    hardest_rois: int | None = None  # OHEM: how many RoIs an image, of rois_per_image, are learned from
    log_variance_limit: float | None = None  # clamp |ln sigma^2|; not in the paper, off by default

    def __post_init__(self) -> None:
        for name, choices in (
            ("backbone", BackboneName), ("second_stage", SecondStage), ("region_proposal", RegionProposal),
            ("box_coding", BoxCoding), ("pooling", Pooling), ("rfcn_pooling", PositionSensitivePooling),
            ("coordinate_reduction", CoordinateReduction), ("anchor_rule", AnchorRule),
            ("resnet_layout", ResNetLayout),
        ):  # fmt: skip
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"ModelConfig.{name} is {getattr(self, name)!r}; choose one of {get_args(choices)}.")
        if self.num_classes < 1:
            raise ValueError(f"ModelConfig.num_classes is {self.num_classes}; a detector needs at least one class.")
        if self.log_variance and self.box_coding != "edges":
            raise ValueError("ModelConfig.log_variance needs box_coding='edges': a variance belongs to a box side.")
        if self.second_stage == "rfcn" and self.rfcn_pooling == "align" and self.sampling_ratio < 1:
            raise ValueError(f"ModelConfig.sampling_ratio is {self.sampling_ratio}; PSRoIAlign needs 1 or more.")
        if self.pyramid and len(self.anchor_sizes) != len(FPN.strides):
            raise ValueError(f"ModelConfig.anchor_sizes has {len(self.anchor_sizes)} sizes; a pyramid needs "
                             f"{len(FPN.strides)}, one a level.")
        if self.pyramid and (self.pooling == "max" or self.second_stage == "rfcn" or self.backbone.startswith("vgg")):
            raise ValueError("ModelConfig.pyramid needs a backbone with four strides (a ResNet or MobileNetV2), a "
                             "Faster R-CNN head, and pooling 'align' or 'precise'.")
        if (self.mask or self.iou_head) and self.second_stage != "faster_rcnn":
            raise ValueError("ModelConfig.mask and ModelConfig.iou_head need second_stage='faster_rcnn'.")
        if self.region_proposal == "saved" and self.second_stage == "none":
            raise ValueError("ModelConfig: region_proposal='saved' with second_stage='none' leaves nothing to learn.")

    @property
    def caffe_strides(self) -> bool:
        return self.resnet_layout != "torchvision"


def build_backbone(config: ModelConfig) -> Backbone | FPN:
    """The network up to its feature maps: one at stride 16, or a pyramid."""
    if config.backbone == "vgg16":
        return VGG16(width=config.width)
    if config.backbone == "vgg_cnn_m_1024":
        return VGGCNNM1024(width=config.width)
    backbone: Backbone
    if config.backbone == "mobilenet_v2":
        blocks = CONV5_BLOCK if config.conv5_head else config.mobilenet_blocks
        backbone = MobileNetV2(blocks=blocks, tf_padding=config.tf_padding, last_stride=2 if config.pyramid else 1)
    else:
        backbone = ResNet(blocks=resnet_blocks(config), width=config.width, caffe=config.caffe_strides,
                          ceil_pool=config.resnet_layout == "caffe", whole=config.pyramid)
    return FPN(bottom_up=backbone, channels=scaled(config.pyramid_dim, config.width)) if config.pyramid else backbone


def resnet_blocks(config: ModelConfig) -> tuple[int, int, int, int]:
    return config.resnet_blocks or RESNET_BLOCKS[config.backbone]


def build_rpn(config: ModelConfig, in_channels: int,
              anchors_per_position: int) -> tuple[nn.Module | None, RPNLosses, BoxCoder]:
    """The region proposal network, its losses and its box coding."""
    channels = max(8, round(config.rpn_dim * config.width))
    center_size = CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0), minus_one=config.decode_minus_one)
    if config.region_proposal == "kl_rpn":
        head = KLRPNHead(in_channels=in_channels, channels=channels, anchors_per_position=anchors_per_position,
                         log_variance_std=config.rpn_log_variance_std)
        losses = partial(kl_rpn_losses, mean_error_weight=config.mean_error_weight,
                         negative_variance=config.negative_variance, log_variance_limit=config.rpn_log_variance_limit,
                         reduce_coordinates=torch.sum if config.coordinate_reduction == "sum" else torch.mean)
        return head, losses, center_size
    rpn = None if config.region_proposal == "saved" else RPNHead(
        in_channels=in_channels, channels=channels, anchors_per_position=anchors_per_position,
        softmax=config.rpn_softmax)
    return rpn, rpn_losses, EdgeCoder(weight=1.0) if config.box_coding == "edges" else center_size


def build_pool(config: ModelConfig, strides: tuple[int, ...], output_size: int) -> Pool:
    """What reads ``output_size`` x ``output_size`` bins for each RoI from the maps."""
    if config.pooling == "precise":
        return partial(multi_level_prroi, output_size=output_size, strides=strides[:ROI_LEVELS],
                       canonical_size=config.canonical_size)
    if config.pyramid:
        return partial(multi_level_roi_align, output_size=output_size, strides=strides[:ROI_LEVELS],
                       sampling_ratio=config.sampling_ratio, aligned=config.aligned,
                       canonical_size=config.canonical_size)
    if config.pooling == "max":
        return on_first(partial(roi_max_pool_batched, output_size=output_size, spatial_scale=1 / strides[0]))
    return on_first(partial(roi_align_batched, output_size=output_size, spatial_scale=1 / strides[0],
                            sampling_ratio=config.sampling_ratio, aligned=config.aligned))


def on_first(pool: Callable[[Tensor, Tensor], Tensor]) -> Pool:
    """A pooling of one map as one of the maps of a network that has only one."""
    return lambda features, boxes: pool(features[0], boxes)


def build_rfcn_head(config: ModelConfig, in_channels: int, stride: int) -> nn.Module:
    """R-FCN's second stage on a feature map with ``in_channels`` channels."""
    residual = config.backbone in RESNET_BLOCKS
    body: nn.Module = nn.Identity()
    if residual:
        body = conv5(in_channels, blocks=resnet_blocks(config)[3], width=config.width, caffe=config.caffe_strides,
                     dilated=True, dilate_first_block=config.dilate_first_block)
    pool: Callable[[Tensor, Tensor], Tensor]
    if config.rfcn_pooling == "align":
        pool = partial(ps_roi_align_batched, output_size=config.pool_size, spatial_scale=1 / stride,
                       sampling_ratio=config.sampling_ratio)
    else:
        pool = partial(ps_roi_pool_batched, output_size=config.pool_size, spatial_scale=1 / stride)
    return RFCNHead(
        body=body, in_channels=scaled(2048, config.width) if residual else in_channels,
        channels=scaled(config.rfcn_dim, config.width), num_classes=config.num_classes, bins=config.pool_size,
        pool=pool, log_variance=config.log_variance, class_agnostic=config.class_agnostic)


def build_roi_head(config: ModelConfig, in_channels: int, strides: tuple[int, ...]) -> nn.Module | None:
    """The second stage on maps with ``in_channels`` channels: conv5 on a ResNet or, for the lite scale, the last blocks
    of a MobileNetV2; two fully connected layers on a VGG or a pyramid."""
    if config.second_stage == "none":
        return None
    if config.second_stage == "rfcn":
        return build_rfcn_head(config, in_channels, strides[0])
    box_head: nn.Module
    if config.backbone in RESNET_BLOCKS and not config.pyramid:
        box_head = Conv5Head(in_channels=in_channels, blocks=resnet_blocks(config)[3], width=config.width,
                             caffe=config.caffe_strides)
    elif config.conv5_head:
        box_head = MobileNetHead(first=CONV5_BLOCK, blocks=config.mobilenet_blocks, tf_padding=config.tf_padding)
    else:
        box_head = TwoMLPHead(in_features=in_channels * config.pool_size**2, fc_dims=config.fc_dims,
                              dropout=config.dropout, init=xavier if config.pyramid else initialize)
    predictor = BoxPredictor(in_features=box_head.out_features, num_classes=config.num_classes,
                             log_variance=config.log_variance, class_agnostic=config.class_agnostic)
    return RoIHead(pool=build_pool(config, strides, config.pool_size), box_head=box_head, predictor=predictor)


def build_mask_head(config: ModelConfig, in_channels: int, strides: tuple[int, ...]) -> dict[str, Any]:
    """The keywords of Detector for Mask R-CNN's third output."""
    if not config.mask:
        return {}
    head = MaskHead(in_channels=in_channels, channels=scaled(config.mask_dim, config.width),
                    num_classes=config.num_classes)
    return {"mask_head": head, "mask_pool": build_pool(config, strides, config.mask_pool_size),
            "mask_binary": not config.mask_soft_targets}


def build_iou_head(config: ModelConfig, in_channels: int, strides: tuple[int, ...]) -> dict[str, Any]:
    """The keywords of Detector for IoU-Net's branch, which always pools precisely."""
    if not config.iou_head:
        return {}
    head = IoUHead(in_features=in_channels * config.pool_size**2, fc_dims=config.fc_dims,
                   num_classes=config.num_classes)
    return {"iou_head": head, "iou_pool": build_pool(replace(config, pooling="precise"), strides, config.pool_size),
            "iou_rois": config.iou_rois, "iou_loss_weight": config.iou_loss_weight}


def build_detector(config: ModelConfig) -> Detector:
    """The network of a config with freshly initialized weights (from torch's global generator), nothing frozen.

    Weights are channels last: faster convolutions on CPU and GPU, and RoIAlign needs no copy of the features.
    """
    backbone = build_backbone(config)
    sizes = [(size,) for size in config.anchor_sizes] if config.pyramid else [config.anchor_sizes]
    anchors = AnchorGenerator(sizes=sizes, ratios=config.anchor_ratios, strides=backbone.strides,
                              rule=CELL_RULES[config.anchor_rule], fit_strides=config.anchor_rule == "torchvision")
    roi_head = build_roi_head(config, backbone.out_channels, backbone.strides)
    rpn_head, losses, rpn_coder = build_rpn(config, backbone.out_channels, anchors.per_position)
    box_coder: BoxCoder = (
        EdgeCoder() if config.box_coding == "edges" else CenterSizeCoder(minus_one=config.decode_minus_one))
    detector = Detector(
        backbone=backbone, anchors=anchors, rpn_head=rpn_head, rpn_losses=losses, roi_head=roi_head,
        box_coder=box_coder, rpn_coder=rpn_coder,
        rpn_batch=config.rpn_batch, rpn_positive_share=config.rpn_positive_share,
        rpn_positive_iou=config.rpn_positive_iou, rpn_negative_iou=config.rpn_negative_iou,
        straddling_anchors=config.straddling_anchors, pre_nms_train=config.pre_nms_train,
        post_nms_train=config.post_nms_train, pre_nms_test=config.pre_nms_test, post_nms_test=config.post_nms_test,
        rpn_nms_iou=config.rpn_nms_iou, min_size=config.min_size,
        rois_per_image=config.rois_per_image, roi_positive_share=config.roi_positive_share,
        roi_positive_iou=config.roi_positive_iou, box_smooth_l1_beta=config.box_smooth_l1_beta,
        hardest_rois=config.hardest_rois, log_variance_limit=config.log_variance_limit,
        **build_mask_head(config, backbone.out_channels, backbone.strides),
        **build_iou_head(config, backbone.out_channels, backbone.strides))
    return detector.to(memory_format=torch.channels_last)


def parameter_counts(detector: torch.nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in detector.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
