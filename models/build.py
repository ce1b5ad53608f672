"""ModelConfig -> Detector: backbone, heads and box loss by their names.

Those of the region proposal network are chosen in models/build_rpn.py, the poolings in
models/pooling/pool.py.
A new backbone is a file in models/backbones/ and a line in BACKBONES; a new box loss is a file in
losses/ and a line in ``box_losses`` (models/roi_losses.py says what it must do). A run of it is a
``replace`` in experiments/<paper>/runs.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from losses.kl_loss import kl_loss, kl_loss_terms
from losses.smooth_l1 import smooth_l1_loss
from models.backbones.base import Backbone, BackboneConfig, initialize, scaled
from models.backbones.fpn import FPN, xavier
from models.backbones.mobilenet import CONV5_BLOCK, MobileNetHead, MobileNetV2
from models.backbones.resnet import RESNET50, RESNET101, Conv5Head, ResNet, conv5
from models.backbones.vgg import VGG16, VGGCNNM1024
from models.build_branches import build_iou_branch, build_mask_branch, build_roi_pool
from models.build_rpn import build_box_coder, build_rpn
from models.detector import Detector
from models.heads import BoxPredictor, RoIHead, TwoMLPHead
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from models.pooling.pool import build_position_sensitive_pool
from models.rfcn import RFCNHead
from models.roi import RoIConfig, RoIStage
from models.roi_losses import BoxLossChoice
from models.rpn import RPNConfig

# (config, whether the last stage is the box head) -> the network up to its features
BACKBONES: dict[str, Callable[[BackboneConfig, bool], Backbone]] = {
    "vgg16": lambda config, _: VGG16(width=config.width),
    "vgg_cnn_m_1024": lambda config, _: VGGCNNM1024(width=config.width),
    "resnet50": lambda config, _: build_resnet(config),
    "resnet101": lambda config, _: build_resnet(config),
    "mobilenet_v2": lambda config, cut: build_mobilenet(config, cut),
}
# backbones with a stage at stride 32, for a pyramid or as the box head
WITH_CONV5 = ("resnet50", "resnet101", "mobilenet_v2")
RESNET_BLOCKS = {"resnet50": RESNET50, "resnet101": RESNET101}


def box_losses(config: RoIConfig) -> dict[str, BoxLossChoice]:
    """The losses that can train the box layers, by the name in RoIConfig.box_loss."""
    return {
        "smooth_l1": BoxLossChoice(
            partial(smooth_l1_loss, beta=config.smooth_l1_beta), log_variance=False
        ),
        "kl": BoxLossChoice(kl_loss, log_variance=True, terms=kl_loss_terms),
    }


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A two-stage network. mask: Mask R-CNN's third output, or None; iou: IoU-Net's branch, or
    None.

    Raises:
        ValueError: an unknown backbone or box loss, or parts that do not fit together.
    """

    num_classes: int  # K foreground classes
    backbone: BackboneConfig
    rpn: RPNConfig = field(default_factory=RPNConfig)
    roi: RoIConfig = field(default_factory=RoIConfig)
    mask: MaskConfig | None = None
    iou: IoUConfig | None = None

    def __post_init__(self) -> None:
        losses = box_losses(self.roi)
        for problem, sentence in (
            (
                self.backbone.name not in BACKBONES,
                f"backbone.name is {self.backbone.name!r}; choose one of {tuple(BACKBONES)}.",
            ),
            (
                self.roi.box_loss not in losses,
                f"roi.box_loss is {self.roi.box_loss!r}; choose one of {tuple(losses)}.",
            ),
            (
                self.roi.box_loss in losses
                and losses[self.roi.box_loss].log_variance != self.roi.log_variance,
                f"roi.log_variance is {self.roi.log_variance}, and the box loss "
                f"{self.roi.box_loss!r} {'has no use for' if self.roi.log_variance else 'reads'} "
                f"log variances; set it to {not self.roi.log_variance}, or choose another loss.",
            ),
            (
                self.num_classes < 1,
                f"num_classes is {self.num_classes}; a detector needs at least one class.",
            ),
            (
                self.rpn.kind == "saved" and self.roi.head == "none",
                "rpn.kind='saved' with roi.head='none' leaves nothing to learn.",
            ),
            (
                (self.mask is not None or self.iou is not None)
                and self.roi.head in ("rfcn", "none"),
                "mask and iou need a box head on each RoI: roi.head='mlp' or 'conv5'.",
            ),
            (
                self.roi.head == "conv5" and self.backbone.name not in WITH_CONV5,
                f"roi.head='conv5' needs one of the backbones {WITH_CONV5}, not "
                f"{self.backbone.name!r}.",
            ),
            (
                self.backbone.pyramid and not self.fits_a_pyramid(),
                f"backbone.pyramid needs one of the backbones {WITH_CONV5}, "
                "roi.head 'mlp' or 'none', pooling 'align' or 'precise', and "
                f"{len(FPN.strides)} rpn.anchor_sizes, one a level.",
            ),
        ):
            if problem:
                raise ValueError(f"ModelConfig.{sentence}")

    def fits_a_pyramid(self) -> bool:
        """Whether the other parts can work on the levels of a pyramid."""
        return (
            self.backbone.name in WITH_CONV5
            and self.roi.head in ("mlp", "none")
            and self.roi.pooling != "max"
            and len(self.rpn.anchor_sizes) == len(FPN.strides)
        )


def build_detector(config: ModelConfig) -> Detector:
    """The network of a config with freshly initialized weights, nothing frozen.

    The weights are drawn from torch's global generator. They are channels last, which makes
    convolutions faster on CPU and GPU, and RoIAlign needs no copy of the features.
    """
    backbone = build_backbone(config.backbone, conv5_head=config.roi.head == "conv5")
    channels, strides = backbone.out_channels, backbone.strides
    # before the first stage, which keeps the order of the random draws
    roi = build_roi_stage(config, channels, strides)
    detector = Detector(
        backbone=backbone,
        rpn=build_rpn(config.rpn, channels, strides),
        roi=roi,
        mask=build_mask_branch(config.mask, config.roi, config.num_classes, channels, strides),
        iou=build_iou_branch(config.iou, config.roi, config.num_classes, channels, strides),
    )
    return detector.to(memory_format=torch.channels_last)


def build_backbone(config: BackboneConfig, *, conv5_head: bool) -> Backbone | FPN:
    """The network up to its feature maps: one at stride 16, or a pyramid."""
    backbone = BACKBONES[config.name](config, conv5_head)
    if not config.pyramid:
        return backbone
    return FPN(bottom_up=backbone, channels=config.pyramid_channels)


def build_resnet(config: BackboneConfig) -> ResNet:
    """conv1 .. conv4, and conv5 under a pyramid."""
    return ResNet(
        blocks=resnet_blocks(config),
        width=config.width,
        caffe=config.caffe_strides,
        ceil_pool=config.resnet_layout == "caffe",
        whole=config.pyramid,
    )


def resnet_blocks(config: BackboneConfig) -> tuple[int, int, int, int]:
    """How many blocks conv2 .. conv5 have."""
    return config.resnet_blocks or RESNET_BLOCKS[config.name]


def build_mobilenet(config: BackboneConfig, conv5_head: bool) -> MobileNetV2:
    """All blocks, or those before its last stage."""
    return MobileNetV2(
        blocks=CONV5_BLOCK if conv5_head else config.mobilenet_blocks,
        tf_padding=config.tf_padding,
        last_stride=2 if config.pyramid else 1,
    )


def build_roi_stage(
    config: ModelConfig, in_channels: int, strides: tuple[int, ...]
) -> RoIStage | None:
    """The second stage; None for a region proposal network alone.

    Args:
        config: of the whole network.
        in_channels: of the features.
        strides: px a cell of each map, fine to coarse.
    """
    roi = config.roi
    if roi.head == "none":
        return None
    if roi.head == "rfcn":
        head: nn.Module = build_rfcn_head(config, in_channels, strides[0])
    else:
        head = build_roi_head(config, in_channels, strides)
    box_loss = box_losses(roi)[roi.box_loss]
    return RoIStage(
        head=head,
        coder=build_box_coder(roi.box_coding, weight=10.0, minus_one=roi.decode_minus_one),
        box_loss=box_loss.function,
        box_loss_terms=box_loss.terms,
        rois_per_image=roi.rois_per_image,
        positive_share=roi.positive_share,
        positive_iou=roi.positive_iou,
        hardest=roi.hardest,
        log_variance_limit=roi.log_variance_limit,
    )


def build_roi_head(config: ModelConfig, in_channels: int, strides: tuple[int, ...]) -> RoIHead:
    """Two fully connected layers, or the backbone's last stage, on each pooled RoI.

    Args:
        config: of the whole network; roi.head is "mlp" or "conv5".
        in_channels: of the features.
        strides: px a cell of each map, fine to coarse.
    """
    backbone, roi = config.backbone, config.roi
    box_head: nn.Module
    if roi.head == "mlp":
        box_head = TwoMLPHead(
            in_features=in_channels * roi.pool_size**2,
            fc_dims=roi.fc_dims,
            dropout=roi.dropout,
            init=xavier if backbone.pyramid else initialize,
        )
    elif backbone.name in RESNET_BLOCKS:
        box_head = Conv5Head(
            in_channels=in_channels,
            blocks=resnet_blocks(backbone)[3],
            width=backbone.width,
            caffe=backbone.caffe_strides,
        )
    else:
        box_head = MobileNetHead(
            first=CONV5_BLOCK, blocks=backbone.mobilenet_blocks, tf_padding=backbone.tf_padding
        )
    predictor = BoxPredictor(
        in_features=box_head.out_features,
        num_classes=config.num_classes,
        log_variance=roi.log_variance,
        class_agnostic=roi.class_agnostic,
    )
    return RoIHead(
        pool=build_roi_pool(roi, strides, roi.pool_size), box_head=box_head, predictor=predictor
    )


def build_rfcn_head(config: ModelConfig, in_channels: int, stride: int) -> RFCNHead:
    """R-FCN's layers on a feature map.

    Args:
        config: of the whole network.
        in_channels: of the feature map.
        stride: px a cell of it.
    """
    backbone, roi = config.backbone, config.roi
    residual = backbone.name in RESNET_BLOCKS
    body: nn.Module = nn.Identity()
    if residual:
        body = conv5(
            in_channels,
            blocks=resnet_blocks(backbone)[3],
            width=backbone.width,
            caffe=backbone.caffe_strides,
            dilated=True,
            dilate_first_block=roi.dilate_first_block,
        )
    pool = build_position_sensitive_pool(
        roi.rfcn_pooling,
        output_size=roi.pool_size,
        stride=stride,
        sampling_ratio=roi.sampling_ratio,
    )
    return RFCNHead(
        body=body,
        in_channels=scaled(2048, backbone.width) if residual else in_channels,
        channels=roi.rfcn_channels,
        num_classes=config.num_classes,
        bins=roi.pool_size,
        pool=pool,
        log_variance=roi.log_variance,
        class_agnostic=roi.class_agnostic,
    )


def parameter_counts(detector: nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in detector.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
