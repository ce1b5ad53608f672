"""IoU-Net (Jiang et al., 2018, section 3.1): regression of the IoU of a box with its object.

The network's output is the IoU normalized with mean 1/2 and standard deviation 1/2: IoU 0 is -1 and
IoU 1 is 1. (The paper only says that the labels are normalized to [-1, 1]; training sees IoU >=
1/2, so targets of 0 to 1.)
"""

from torch import Tensor

from losses.smooth_l1 import smooth_l1

IOU_MEAN = IOU_STD = 0.5


def iou_loss(outputs: Tensor, iou: Tensor) -> Tensor:
    """smooth_l1(outputs - (2 iou - 1)), one value a RoI.

    Args:
        outputs: (R,) of the network, for the class of the RoI's object.
        iou: (R,) of the RoI with that object.

    Returns:
        (R,), float32 also under autocast.
    """
    return smooth_l1(outputs.float() - (iou.float() - IOU_MEAN) / IOU_STD)


def to_iou(outputs: Tensor) -> Tensor:
    """The predicted IoU that the network's outputs (...,) mean: outputs / 2 + 1 / 2, not clipped,
    float32.
    """
    return outputs.float() * IOU_STD + IOU_MEAN
