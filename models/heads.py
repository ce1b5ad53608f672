"""The second stage of Faster R-CNN: RoIs are pooled, each becomes one vector, and a predictor reads
it.

Letters: N images, P RoIs of one image, R = N * P, C channels, B x B bins, K foreground classes, D
features.

KL Loss section 3.2: the log variance layer is initialized N(0, 1e-4), bias 0, so that training
starts as smooth L1. For VGG-16 and 80 classes it is the paper's 4096 x 324 layer.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import initialize
from models.draws import Generators, dropout


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
        self.dropout = dropout
        self.out_features = fc_dims[1]
        init(self)

    def forward(self, pooled: Tensor, generators: Generators | None = None) -> Tensor:
        """generators: of each image's dropout, in training."""
        hidden = self.activate(self.fc6(pooled.flatten(1)), generators)
        return self.activate(self.fc7(hidden), generators)

    def activate(self, values: Tensor, generators: Generators | None) -> Tensor:
        """ReLU, and dropout in training.

        Raises:
            ValueError: dropout without generators.
        """
        values = F.relu(values, inplace=True)
        if not (self.training and self.dropout):
            return values
        if generators is None:
            raise ValueError("Dropout needs the generators of the images (models/draws.py).")
        return dropout(values, self.dropout, generators)


class BoxPredictor(nn.Module):
    """(R, D) -> class_logits (R, K + 1), offsets (R, K + 1, 4), log_variance (R, K + 1, 4) or None.

    Offsets and log variances are class-specific, in the order (x1, y1, x2, y2) or (x, y, w, h) of
    the box coder; column 0 is background. class_agnostic: one box for all classes, which every
    column then shows.
    """

    def __init__(
        self,
        *,
        in_features: int,
        num_classes: int,
        log_variance: bool,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.columns = num_classes + 1
        boxes = 1 if class_agnostic else self.columns
        self.class_logits = linear(in_features, self.columns, std=0.01)
        self.offsets = linear(in_features, boxes * 4, std=0.001)
        self.log_variance = linear(in_features, boxes * 4, std=0.0001) if log_variance else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        offsets = per_class(self.offsets(features), self.columns)
        log_variance = None
        if self.log_variance is not None:
            log_variance = per_class(self.log_variance(features), self.columns)
        return self.class_logits(features), offsets, log_variance


def per_class(outputs: Tensor, columns: int) -> Tensor:
    """(R, 4 * columns), or (R, 4) for all classes alike, -> (R, columns, 4)."""
    return outputs.unflatten(1, (-1, 4)).expand(-1, columns, -1)


def linear(in_features: int, out_features: int, *, std: float) -> nn.Linear:
    """A linear layer with weights N(0, std) and bias 0."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


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
        self, features: tuple[Tensor, ...], boxes: Tensor, generators: Generators | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Outputs of ``BoxPredictor`` for boxes (N, P, 4), rows in the order of ``boxes``;
        generators: of each image's dropout, in training."""
        pooled = self.pool(features, boxes).flatten(0, 1)
        return self.predictor(self.box_head(pooled, generators))
