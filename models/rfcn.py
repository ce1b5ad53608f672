"""The second stage of R-FCN (Dai et al., NIPS 2016): its layers run once on the whole image, a RoI
pools and votes.

Letters: N images, P RoIs of one image, R = N * P, C channels, K foreground classes, B x B bins.
Sources: R-FCN sections 2.2 and 2.3; layers without bias and their initialization as in the PyTorch
code behind the baseline of KL-RPN (Caffe's have biases, all N(0, 0.01)). The log variance maps (KL
Loss, section 3.2) are our addition.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from models.draws import Generators
from models.heads import per_class


class RFCNHead(nn.Module):
    """RoIs of a feature map -> class logits, offsets and log variances, by position-sensitive maps.

    body: (N, C, H, W) -> (N, in_channels, H, W), the dilated conv5; its stride is that of the
        features. The RPN reads the features before it.
    channels: of the 1x1 reduction after the body, 1024 at full size.
    bins: B, 7 in the paper.
    pool: (maps (N, D * B * B, H, W), boxes (N, P, 4) network px) -> (N, P, D, B, B).
    log_variance: also predict ln sigma^2 of each offset.
    class_agnostic: one box for all classes, which every column of offsets then shows.

    Map channels are (column * B + row of bins) * B + column of bins; a box map's column is 4 *
    class + coordinate.
    """

    def __init__(
        self,
        *,
        body: nn.Module,
        in_channels: int,
        channels: int,
        num_classes: int,
        bins: int,
        pool: Callable[[Tensor, Tensor], Tensor],
        log_variance: bool,
        class_agnostic: bool,
    ) -> None:
        super().__init__()
        self.pool, self.columns = pool, num_classes + 1
        boxes = 1 if class_agnostic else self.columns
        self.body = body
        self.reduction = conv1x1(in_channels, channels, std=0.01)
        self.class_maps = conv1x1(channels, self.columns * bins**2, std=0.01)
        self.offset_maps = conv1x1(channels, 4 * boxes * bins**2, std=0.001)
        self.log_variance_maps = (
            conv1x1(channels, 4 * boxes * bins**2, std=0.0001) if log_variance else None
        )

    def forward(
        self, features: tuple[Tensor, ...], boxes: Tensor, generators: Generators | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Class logits (R, K + 1), offsets (R, K + 1, 4) and log variances (R, K + 1, 4) or None of
        boxes (N, P, 4).

        They are read from the first of ``features``. Rows are in the order of ``boxes``, column 0
        is background: the outputs of ``BoxPredictor``. Nothing is drawn, so that ``generators`` are
        not used.
        """
        reduced = F.relu(self.reduction(self.body(features[0])))
        class_logits = self.vote(self.class_maps(reduced), boxes)
        offsets = per_class(self.vote(self.offset_maps(reduced), boxes), self.columns)
        if self.log_variance_maps is None:
            return class_logits, offsets, None
        return (
            class_logits,
            offsets,
            per_class(self.vote(self.log_variance_maps(reduced), boxes), self.columns),
        )

    def vote(self, maps: Tensor, boxes: Tensor) -> Tensor:
        """The mean over a RoI's bins, each read from its own maps: (R, D)."""
        return self.pool(maps, boxes).mean((-2, -1)).flatten(0, 1)


def conv1x1(in_channels: int, out_channels: int, *, std: float) -> nn.Conv2d:
    """A 1x1 convolution without bias, weights N(0, std)."""
    layer = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer
