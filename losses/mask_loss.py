"""The loss of Mask R-CNN's mask branch (He et al., ICCV 2017, section 3): binary cross-entropy,
pixel by pixel.
"""

from torch import Tensor
from torch.nn import functional as F


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-t ln p - (1 - t) ln(1 - p) with p = sigmoid(logit); one value per pixel.

    Args:
        logits: of one class, any shape. Classes do not compete: the caller takes each RoI's own
            class map.
        targets: t of the same shape, 0..1.

    Returns:
        float32 also under autocast. Law: logit 0 costs ln 2 whatever the target.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
