"""ModelConfig -> Detector: the only place that chooses by name."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from data.boxes import BoxCoder, CenterSizeCoder, EdgeCoder
from models.anchors import AnchorGenerator
from models.detector import Detector
from models.heads import TwoMLPHead
from models.mobilenet import MobileNetV2
from models.predictor import BoxPredictor
from models.rpn import RPNHead
from models.vgg import VGG16, VGGCNNM1024, Backbone

BackboneName = Literal["vgg16", "vgg_cnn_m_1024", "mobilenet_v2"]
BoxCoding = Literal["center_size", "edges"]
Pooling = Literal["align", "max"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A two-stage network. Defaults: py-faster-rcnn's VGG-16 end-to-end recipe (experiments/kl_loss/README.md)."""

    backbone: BackboneName
    num_classes: int  # K foreground classes
    log_variance: bool = False  # KL Loss: predict ln sigma^2 of each box side, train with Eq. 9, 10
    box_coding: BoxCoding = "center_size"  # "edges" is KL Loss Eq. 1, in the box head and in the RPN
    width: float = 1.0  # multiplies the backbone's and the RPN's channels
    fc_dims: tuple[int, int] = (4096, 4096)  # fc6, fc7
    dropout: float = 0.0  # after fc6 and fc7; 0.5 in the VOC recipes
    frozen_stages: int = 2  # of the backbone; 2 = conv1_x, conv2_x of VGG-16
    mobilenet_blocks: int = 19
    tf_padding: bool = False  # MobileNetV2 weights that come from TensorFlow
    pooling: Pooling = "align"  # "max" is Fast R-CNN's RoI max pooling
    pool_size: int = 7  # bins a side
    sampling_ratio: int = 2  # samples a bin side; 0 = adaptive
    anchor_sizes: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)  # px, network
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    rpn_dim: int = 512  # channels of the 3x3 convolution, before ``width``
    rpn_batch: int = 256  # sampled anchors an image
    rpn_positive_share: float = 0.5
    rpn_positive_iou: float = 0.7
    rpn_negative_iou: float = 0.3
    rpn_nms_iou: float = 0.7
    pre_nms_train: int = 12000
    post_nms_train: int = 2000
    pre_nms_test: int = 6000
    post_nms_test: int = 300
    min_size: float = 16.0  # px, original image: least side of a proposal
    rois_per_image: int = 128
    roi_positive_share: float = 0.25
    roi_positive_iou: float = 0.5
    log_variance_limit: float | None = None  # clamp |ln sigma^2|; not in the paper, off by default

    def __post_init__(self) -> None:
        for name, choices in (("backbone", BackboneName), ("box_coding", BoxCoding), ("pooling", Pooling)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"ModelConfig.{name} is {getattr(self, name)!r}; choose one of {get_args(choices)}.")
        if self.num_classes < 1:
            raise ValueError(f"ModelConfig.num_classes is {self.num_classes}; a detector needs at least one class.")
        if self.log_variance and self.box_coding != "edges":
            raise ValueError("ModelConfig.log_variance needs box_coding='edges': a variance belongs to a box side.")


def build_backbone(config: ModelConfig) -> Backbone:
    if config.backbone == "vgg16":
        return VGG16(width=config.width)
    if config.backbone == "vgg_cnn_m_1024":
        return VGGCNNM1024(width=config.width)
    return MobileNetV2(blocks=config.mobilenet_blocks, tf_padding=config.tf_padding)


def build_detector(config: ModelConfig) -> Detector:
    """The network of a config with freshly initialised weights (from torch's global generator), nothing frozen.

    Weights are channels last: faster convolutions on CPU and GPU, and RoIAlign needs no copy of the features.
    """
    backbone = build_backbone(config)
    anchors = AnchorGenerator(sizes=config.anchor_sizes, ratios=config.anchor_ratios, stride=backbone.stride)
    box_head = TwoMLPHead(in_features=backbone.out_channels * config.pool_size**2, fc_dims=config.fc_dims,
                          dropout=config.dropout)
    edges = config.box_coding == "edges"
    box_coder: BoxCoder = EdgeCoder() if edges else CenterSizeCoder()
    rpn_coder: BoxCoder = EdgeCoder(weight=1.0) if edges else CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))
    detector = Detector(
        backbone=backbone, anchors=anchors, box_head=box_head, box_coder=box_coder, rpn_coder=rpn_coder,
        rpn_head=RPNHead(in_channels=backbone.out_channels, channels=max(8, round(config.rpn_dim * config.width)),
                         anchors_per_position=anchors.per_position),
        predictor=BoxPredictor(in_features=box_head.out_features, num_classes=config.num_classes,
                               log_variance=config.log_variance),
        pooling=config.pooling, pool_size=config.pool_size, sampling_ratio=config.sampling_ratio,
        rpn_batch=config.rpn_batch, rpn_positive_share=config.rpn_positive_share,
        rpn_positive_iou=config.rpn_positive_iou, rpn_negative_iou=config.rpn_negative_iou,
        pre_nms_train=config.pre_nms_train, post_nms_train=config.post_nms_train, pre_nms_test=config.pre_nms_test,
        post_nms_test=config.post_nms_test, rpn_nms_iou=config.rpn_nms_iou, min_size=config.min_size,
        rois_per_image=config.rois_per_image, roi_positive_share=config.roi_positive_share,
        roi_positive_iou=config.roi_positive_iou, log_variance_limit=config.log_variance_limit)
    return detector.to(memory_format=torch.channels_last)


def parameter_counts(detector: torch.nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in detector.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
