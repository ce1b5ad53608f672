"""The two VGG backbones of py-faster-rcnn: VGG-16 (configuration D) and VGG-CNN-M-1024, both with
stride 16.

Pooling rounds up (Caffe). ``width`` multiplies every channel count, so the mini scale trains the
same layers, thinner. Layer names of VGG-16 are torchvision's (``features.0`` ...), so that its
ImageNet weights load as they are.
"""

from torch import nn

from models.backbones.base import Backbone, initialize, scaled
from models.convolution import Conv2d

VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(Backbone):
    """VGG-16 up to conv5_3 (no fifth pooling). Stages 1..5 are conv1_x .. conv5_x."""

    def __init__(self, *, width: float = 1.0) -> None:
        layers: list[nn.Module] = []
        stage_ends = []
        channels = 3
        for index, stage in enumerate(VGG16_STAGES):
            for size in stage:
                layers += [
                    Conv2d(channels, scaled(size, width), 3, padding=1),
                    nn.ReLU(inplace=True),
                ]
                channels = scaled(size, width)
            if index < len(VGG16_STAGES) - 1:
                layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            stage_ends.append(len(layers))
        super().__init__(layers, stage_ends, channels)
        initialize(self)


class VGGCNNM1024(Backbone):
    """VGG-CNN-M-1024 up to conv5: 7x7/2, LRN, pool, 5x5/2 (pad 1, as in py-faster-rcnn), LRN, pool,
    three 3x3."""

    def __init__(self, *, width: float = 1.0) -> None:
        c1, c2, c3 = scaled(96, width), scaled(256, width), scaled(512, width)
        layers: list[nn.Module] = [
            nn.Conv2d(3, c1, 7, stride=2), nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Conv2d(c1, c2, 5, stride=2, padding=1), nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Conv2d(c2, c3, 3, padding=1), nn.ReLU(inplace=True),
            Conv2d(c3, c3, 3, padding=1), nn.ReLU(inplace=True),
            Conv2d(c3, c3, 3, padding=1), nn.ReLU(inplace=True),
        ]  # fmt: skip
        super().__init__(layers, [4, 8, 10, 12, 14], c3)
        initialize(self)
