"""The mask and IoU branches beside the box head, and the pooling that the second stage shares."""

from models.iou_net import IoUBranch, IoUConfig, IoUHead
from models.mask import MaskBranch, MaskConfig, MaskHead
from models.pooling.pool import Pool, Pooling, build_pool
from models.roi import RoIConfig


def build_roi_pool(
    config: RoIConfig,
    strides: tuple[int, ...],
    output_size: int,
    *,
    pooling: Pooling | None = None,
) -> Pool:
    """The pooling of the second stage.

    Args:
        config: of the second stage.
        strides: px a cell of each map, fine to coarse.
        output_size: bins a side.
        pooling: its kind if it is not that of ``config``.
    """
    return build_pool(
        pooling or config.pooling,
        output_size=output_size,
        strides=strides,
        sampling_ratio=config.sampling_ratio,
        aligned=config.aligned,
        canonical_size=config.canonical_size,
    )


def build_mask_branch(
    config: MaskConfig | None,
    roi: RoIConfig,
    num_classes: int,
    in_channels: int,
    strides: tuple[int, ...],
) -> MaskBranch | None:
    """Mask R-CNN's third output, which learns from as many RoIs as may be foreground.

    Args:
        config: None for a network without masks.
        roi: of the second stage, whose pooling the branch shares.
        num_classes: K.
        in_channels: of the features.
        strides: px a cell of each map, fine to coarse.
    """
    if config is None:
        return None
    return MaskBranch(
        head=MaskHead(in_channels=in_channels, channels=config.channels, num_classes=num_classes),
        pool=build_roi_pool(roi, strides, config.pool_size),
        slots=int(roi.rois_per_image * roi.positive_share),
        binary_targets=not config.soft_targets,
    )


def build_iou_branch(
    config: IoUConfig | None,
    roi: RoIConfig,
    num_classes: int,
    in_channels: int,
    strides: tuple[int, ...],
) -> IoUBranch | None:
    """IoU-Net's branch, which always pools precisely.

    Args:
        config: None for a network without the branch.
        roi: of the second stage, whose fc_dims and pool_size the branch has.
        num_classes: K.
        in_channels: of the features.
        strides: px a cell of each map, fine to coarse.
    """
    if config is None:
        return None
    return IoUBranch(
        head=IoUHead(
            in_features=in_channels * roi.pool_size**2,
            fc_dims=roi.fc_dims,
            num_classes=num_classes,
        ),
        pool=build_roi_pool(roi, strides, roi.pool_size, pooling="precise"),
        rois=config.rois,
        loss_weight=config.loss_weight,
    )
