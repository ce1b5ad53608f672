"""The feature pyramid (Lin et al., CVPR 2017, section 3): coarse maps, rich in meaning, are added
to fine ones.

Letters: N images, C channels. Levels are P2 .. P6 at strides 4 .. 64, fine to coarse; P6 is every
second cell of P5 and serves the region proposal network alone.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.convolution import Conv2d


class FPN(nn.Module):
    """Images (N, 3, H, W) -> five maps (N, C, H / stride, W / stride), the sizes rounded up.

    bottom_up: a network with four ``pyramid`` stages, C2 .. C5. lateral: its 1x1 convolutions,
    output: the 3x3 ones, both fine to coarse.
    """

    strides = (4, 8, 16, 32, 64)

    def __init__(self, *, bottom_up: Backbone, channels: int) -> None:
        super().__init__()
        self.bottom_up, self.out_channels = bottom_up, channels
        self.lateral = nn.ModuleList(Conv2d(inputs, channels, 1) for _, inputs in bottom_up.pyramid)
        self.output = nn.ModuleList(
            Conv2d(channels, channels, 3, padding=1) for _ in bottom_up.pyramid
        )
        xavier(self.lateral)
        xavier(self.output)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        inner = [
            lateral(c)
            for lateral, c in zip(self.lateral, self.bottom_up.bottom_up(images), strict=True)
        ]
        for finer in range(len(inner) - 2, -1, -1):
            size = inner[finer].shape[-2:]
            inner[finer] += F.interpolate(inner[finer + 1], size=size, mode="nearest")
        maps = [output(p) for output, p in zip(self.output, inner, strict=True)]
        return (*maps, F.max_pool2d(maps[-1], kernel_size=1, stride=2))

    def freeze(self, stages: int) -> None:
        """Stops training of the first ``stages`` stages of the network below the pyramid."""
        self.bottom_up.freeze(stages)


def xavier(module: nn.Module) -> None:
    """Caffe2's XavierFill of each convolution and linear layer in ``module``: uniform, variance 1 /
    fan in, bias 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
