"""The second stage of Faster R-CNN: RoIs are pooled, each becomes one vector, and a predictor reads
it.

Letters: N images, P RoIs of one image, R = N * P, C channels, B x B bins, K foreground classes, D
features.
"""

from collections.abc import Callable

from torch import Tensor, nn

from models.backbones.base import initialize
from models.predictor import BoxPredictor


class TwoMLPHead(nn.Module):
    """(R, C, B, B) -> fc6 -> fc7 (R, D): VGG's classifier without its last layer, or Faster R-CNN's
    two-MLP head.

    fc_dims: widths of fc6 and fc7 (4096, 4096 for VGG-16; 4096, 1024 for VGG-CNN-M-1024). dropout:
    after each, 0.5 in the VOC recipes, 0 in the COCO ones. init: of the weights before training.
    """

    def __init__(
        self,
        *,
        in_features: int,
        fc_dims: tuple[int, int],
        dropout: float,
        init: Callable[[nn.Module], None] = initialize,
    ) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, fc_dims[0])
        self.fc7 = nn.Linear(fc_dims[0], fc_dims[1])
        self.activate = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(dropout))
        self.out_features = fc_dims[1]
        init(self)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.activate(self.fc7(self.activate(self.fc6(pooled.flatten(1)))))


class RoIHead(nn.Module):
    """RoIs of feature maps -> class logits, offsets and log variances, the second stage of Faster
    R-CNN.

    pool: (features of each level, boxes (N, P, 4) network px) -> (N, P, C, B, B).
    box_head: (R, C, B, B) -> (R, D). models/rfcn.py has the other second stage with the same
    outputs.
    """

    def __init__(
        self,
        *,
        pool: Callable[[tuple[Tensor, ...], Tensor], Tensor],
        box_head: nn.Module,
        predictor: BoxPredictor,
    ) -> None:
        super().__init__()
        self.pool, self.box_head, self.predictor = pool, box_head, predictor

    def forward(
        self, features: tuple[Tensor, ...], boxes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Outputs of ``BoxPredictor`` for boxes (N, P, 4), rows in the order of ``boxes``."""
        return self.predictor(self.box_head(self.pool(features, boxes).flatten(0, 1)))
