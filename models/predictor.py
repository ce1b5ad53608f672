"""The last layers of the box head: class logits, box offsets and, for KL Loss, one log variance per
box side.

Letters: R RoIs, K foreground classes. KL Loss section 3.2: the log variance layer is initialized
N(0, 1e-4), bias 0, so that training starts as smooth L1. For VGG-16 and 80 classes it is the
paper's 4096 x 324 layer.
"""

from torch import Tensor, nn


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
