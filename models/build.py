"""ModelConfig -> Detector: the only place that chooses by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder, CenterSizeCoder, EdgeCoder
from models.anchors import AnchorGenerator
from models.detector import Detector, RPNLosses
from models.heads import RoIHead, TwoMLPHead
from models.kl_rpn import KLRPNHead, kl_rpn_losses
from models.mobilenet import MobileNetV2
from models.predictor import BoxPredictor
from models.ps_roi_align import ps_roi_align_batched, ps_roi_pool_batched
from models.resnet import RESNET50, RESNET101, Conv5Head, ResNet, conv5
from models.rfcn import RFCNHead
from models.roi_align import roi_align_batched, roi_max_pool_batched
from models.rpn import RPNHead, rpn_losses
from models.vgg import VGG16, VGGCNNM1024, Backbone, scaled

BackboneName = Literal["vgg16", "vgg_cnn_m_1024", "resnet50", "resnet101", "mobilenet_v2"]
SecondStage = Literal["faster_rcnn", "rfcn"]
RegionProposal = Literal["rpn", "kl_rpn"]
BoxCoding = Literal["center_size", "edges"]
Pooling = Literal["align", "max"]
PositionSensitivePooling = Literal["align", "average"]
CoordinateReduction = Literal["sum", "mean"]
RESNET_BLOCKS = {"resnet50": RESNET50, "resnet101": RESNET101}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A two-stage network. Defaults: py-faster-rcnn's VGG-16 end-to-end recipe (experiments/kl_loss/README.md)."""

    backbone: BackboneName
    num_classes: int  # K foreground classes
    second_stage: SecondStage = "faster_rcnn"
    region_proposal: RegionProposal = "rpn"  # "kl_rpn": mean and log variance of each offset, no class
    log_variance: bool = False  # KL Loss: predict ln sigma^2 of each box side, train with Eq. 9, 10
    box_coding: BoxCoding = "center_size"  # "edges" is KL Loss Eq. 1, in the box head and in the RPN, not in KL-RPN
    class_agnostic: bool = False  # one box for all classes
    decode_minus_one: bool = True  # False: centre-size decoding is 1 px too large, as in faster-rcnn.pytorch
    width: float = 1.0  # multiplies the backbone's and the RPN's channels
    fc_dims: tuple[int, int] = (4096, 4096)  # fc6, fc7
    dropout: float = 0.0  # after fc6 and fc7; 0.5 in the VOC recipes
    frozen_stages: int = 2  # of the backbone; 2 = conv1_x, conv2_x of VGG-16
    resnet_blocks: tuple[int, int, int, int] | None = None  # residual blocks a stage; None: the published numbers
    caffe_layout: bool = False  # ResNet: the stride in the 1x1 convolution, first pooling without padding
    mobilenet_blocks: int = 19
    tf_padding: bool = False  # MobileNetV2 weights that come from TensorFlow
    pooling: Pooling = "align"  # "max" is Fast R-CNN's RoI max pooling
    pool_size: int = 7  # bins a side
    sampling_ratio: int = 2  # samples a bin side; 0 = adaptive
    rfcn_dim: int = 1024  # R-FCN: channels of the reduction, before ``width``
    rfcn_pooling: PositionSensitivePooling = "align"  # PSRoIAlign; "average" is R-FCN's own PSRoIPool
    dilate_first_block: bool = False  # R-FCN: dilation 2 also in conv5's first block (Caffe) or only in the others
    anchor_sizes: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)  # px, network
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    rpn_dim: int = 512  # channels of the 3x3 convolution, before ``width``
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
    hardest_rois: int | None = None  # OHEM: how many RoIs an image, of rois_per_image, are learned from
    log_variance_limit: float | None = None  # clamp |ln sigma^2|; not in the paper, off by default

    def __post_init__(self) -> None:
        for name, choices in (
            ("backbone", BackboneName), ("second_stage", SecondStage), ("region_proposal", RegionProposal),
            ("box_coding", BoxCoding), ("pooling", Pooling), ("rfcn_pooling", PositionSensitivePooling),
            ("coordinate_reduction", CoordinateReduction),
        ):  # fmt: skip
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"ModelConfig.{name} is {getattr(self, name)!r}; choose one of {get_args(choices)}.")
        if self.num_classes < 1:
            raise ValueError(f"ModelConfig.num_classes is {self.num_classes}; a detector needs at least one class.")
        if self.log_variance and self.box_coding != "edges":
            raise ValueError("ModelConfig.log_variance needs box_coding='edges': a variance belongs to a box side.")
        if self.second_stage == "rfcn" and self.rfcn_pooling == "align" and self.sampling_ratio < 1:
            raise ValueError(f"ModelConfig.sampling_ratio is {self.sampling_ratio}; PSRoIAlign needs 1 or more.")


def build_backbone(config: ModelConfig) -> Backbone:
    if config.backbone == "vgg16":
        return VGG16(width=config.width)
    if config.backbone == "vgg_cnn_m_1024":
        return VGGCNNM1024(width=config.width)
    if config.backbone == "mobilenet_v2":
        return MobileNetV2(blocks=config.mobilenet_blocks, tf_padding=config.tf_padding)
    return ResNet(blocks=resnet_blocks(config), width=config.width, caffe=config.caffe_layout)


def resnet_blocks(config: ModelConfig) -> tuple[int, int, int, int]:
    return config.resnet_blocks or RESNET_BLOCKS[config.backbone]


def build_rpn(config: ModelConfig, in_channels: int,
              anchors_per_position: int) -> tuple[nn.Module, RPNLosses, BoxCoder]:
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
    rpn = RPNHead(in_channels=in_channels, channels=channels, anchors_per_position=anchors_per_position)
    return rpn, rpn_losses, EdgeCoder(weight=1.0) if config.box_coding == "edges" else center_size


def build_roi_head(config: ModelConfig, in_channels: int, stride: int) -> nn.Module:
    """The second stage on a feature map with ``in_channels`` channels."""
    residual = config.backbone in RESNET_BLOCKS
    if config.second_stage == "rfcn":
        body: nn.Module = nn.Identity()
        if residual:
            body = conv5(in_channels, blocks=resnet_blocks(config)[3], width=config.width, caffe=config.caffe_layout,
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
    box_head: nn.Module
    if residual:
        box_head = Conv5Head(in_channels=in_channels, blocks=resnet_blocks(config)[3], width=config.width,
                             caffe=config.caffe_layout)
    else:
        box_head = TwoMLPHead(in_features=in_channels * config.pool_size**2, fc_dims=config.fc_dims,
                              dropout=config.dropout)
    if config.pooling == "align":
        pool = partial(roi_align_batched, output_size=config.pool_size, spatial_scale=1 / stride,
                       sampling_ratio=config.sampling_ratio)
    else:
        pool = partial(roi_max_pool_batched, output_size=config.pool_size, spatial_scale=1 / stride)
    predictor = BoxPredictor(in_features=box_head.out_features, num_classes=config.num_classes,
                             log_variance=config.log_variance, class_agnostic=config.class_agnostic)
    return RoIHead(pool=pool, box_head=box_head, predictor=predictor)


def build_detector(config: ModelConfig) -> Detector:
    """The network of a config with freshly initialised weights (from torch's global generator), nothing frozen.

    Weights are channels last: faster convolutions on CPU and GPU, and RoIAlign needs no copy of the features.
    """
    backbone = build_backbone(config)
    anchors = AnchorGenerator(sizes=config.anchor_sizes, ratios=config.anchor_ratios, stride=backbone.stride)
    roi_head = build_roi_head(config, backbone.out_channels, backbone.stride)
    rpn_head, losses, rpn_coder = build_rpn(config, backbone.out_channels, anchors.per_position)
    box_coder: BoxCoder = (
        EdgeCoder() if config.box_coding == "edges" else CenterSizeCoder(minus_one=config.decode_minus_one))
    detector = Detector(
        backbone=backbone, anchors=anchors, rpn_head=rpn_head, rpn_losses=losses, roi_head=roi_head,
        box_coder=box_coder, rpn_coder=rpn_coder,
        rpn_batch=config.rpn_batch, rpn_positive_share=config.rpn_positive_share,
        rpn_positive_iou=config.rpn_positive_iou, rpn_negative_iou=config.rpn_negative_iou,
        pre_nms_train=config.pre_nms_train, post_nms_train=config.post_nms_train, pre_nms_test=config.pre_nms_test,
        post_nms_test=config.post_nms_test, rpn_nms_iou=config.rpn_nms_iou, min_size=config.min_size,
        rois_per_image=config.rois_per_image, roi_positive_share=config.roi_positive_share,
        roi_positive_iou=config.roi_positive_iou, hardest_rois=config.hardest_rois,
        log_variance_limit=config.log_variance_limit)
    return detector.to(memory_format=torch.channels_last)


def parameter_counts(detector: torch.nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in detector.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
