"""ResNet-50 and ResNet-101 (He et al. 2016), cut in two: conv1 .. conv4 at stride 16, and conv5 for
the second stage. Under a feature pyramid they stay whole.

Three layouts of the same tensors. torchvision's: the stride of a stage sits in the 3x3 convolution
of its first block, and the max pooling pads. Caffe's (``caffe=True``; the original, and the
baselines of KL-RPN): the stride sits in the first 1x1 convolution, and the max pooling does not pad
but rounds up (``ceil_pool=True``). Detectron's: Caffe's strides and torchvision's pooling. Names
inside the blocks are torchvision's.
``width`` multiplies every channel count.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import (
    Backbone,
    Layers,
    Norm,
    freeze_norms,
    initialize,
    normalized,
    scaled,
)
from models.convolution import Conv2d
from models.draws import Generators

RESNET50 = (3, 4, 6, 3)  # blocks of conv2 .. conv5
RESNET101 = (3, 4, 23, 3)
EXPANSION = 4  # output channels of a block over the channels of its 3x3 convolution


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, each with its norm, added to the input.

    planes: channels of the 3x3 convolution. caffe: where the stride is (see above). dilation: of
    the 3x3 convolution. The input is projected where its shape differs from the output's.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        planes: int,
        out_channels: int,
        stride: int,
        dilation: int,
        caffe: bool,
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = Conv2d(in_channels, planes, 1, stride=first, bias=False)
        self.bn1 = Norm(planes)
        self.conv2 = Conv2d(
            planes, planes, 3, stride=second, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = Norm(planes)
        self.conv3 = Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = Norm(out_channels)
        self.downsample = Layers()  # empty: the input as it is
        if stride != 1 or in_channels != out_channels:
            self.downsample = Layers(
                Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                Norm(out_channels),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        inner = F.relu(normalized(self.conv1, self.bn1, inputs), inplace=True)
        inner = F.relu(normalized(self.conv2, self.bn2, inner), inplace=True)
        inner = normalized(self.conv3, self.bn3, inner)
        inner += self.downsample(inputs)
        return F.relu(inner, inplace=True)


def stage(
    in_channels: int,
    *,
    planes: int,
    blocks: int,
    width: float,
    stride: int,
    caffe: bool,
    dilation: int = 1,
    first_dilation: int = 1,
) -> nn.Sequential:
    """``blocks`` bottlenecks with 4 * planes * width output channels; the first one has the
    stride."""
    out_channels = scaled(EXPANSION * planes, width)
    return nn.Sequential(
        *(
            Bottleneck(
                in_channels=out_channels if index else in_channels,
                planes=scaled(planes, width),
                out_channels=out_channels,
                stride=1 if index else stride,
                dilation=dilation if index else first_dilation,
                caffe=caffe,
            )
            for index in range(blocks)
        )
    )


class ResNet(Backbone):
    """conv1 .. conv4 (layer1 .. layer3) of a ResNet. For ``freeze``, stage 1 is conv1 with bn1,
    stages 2..4 the layers.

    blocks: RESNET50 or RESNET101; the fourth number is conv5's, which is used only with ``whole``.
    caffe: where the strides are. ceil_pool: how the first pooling rounds; None: as ``caffe`` has
    it.
    whole: conv5 (layer4, stage 5) included, for a feature pyramid.
    """

    def __init__(
        self,
        *,
        blocks: tuple[int, int, int, int] = RESNET101,
        width: float = 1.0,
        caffe: bool = False,
        ceil_pool: bool | None = None,
        whole: bool = False,
    ) -> None:
        c1, c2, c3, c4, c5 = (scaled(channels, width) for channels in (64, 256, 512, 1024, 2048))
        ceil_pool = caffe if ceil_pool is None else ceil_pool
        pool = nn.MaxPool2d(3, 2, ceil_mode=True) if ceil_pool else nn.MaxPool2d(3, 2, padding=1)
        layers = [
            Conv2d(3, c1, 7, stride=2, padding=3, bias=False),
            Norm(c1),
            nn.ReLU(inplace=True),
            pool,
            stage(c1, planes=64, blocks=blocks[0], width=width, stride=1, caffe=caffe),
            stage(c2, planes=128, blocks=blocks[1], width=width, stride=2, caffe=caffe),
            stage(c3, planes=256, blocks=blocks[2], width=width, stride=2, caffe=caffe),
        ]
        if whole:
            layers.append(
                stage(c4, planes=512, blocks=blocks[3], width=width, stride=2, caffe=caffe)
            )
        super().__init__(
            layers,
            [4, 5, 6, 7, 8][: 5 if whole else 4],
            c5 if whole else c4,
            ((5, c2), (6, c3), (7, c4), (8, c5)) if whole else (),
        )
        initialize(self)

    def freeze(self, stages: int) -> None:
        """Stops training of the first ``stages`` stages, the statistics of their norms included."""
        super().freeze(stages)
        if stages:
            freeze_norms(self.features[: self.stage_ends[stages - 1]])


def conv5(
    in_channels: int,
    *,
    blocks: int,
    width: float,
    caffe: bool,
    dilated: bool,
    dilate_first_block: bool = False,
) -> nn.Sequential:
    """conv5 (layer4): 512 * width planes, 2048 * width output channels.

    Args:
        dilated: False: stride 2, to run on each RoI. True (R-FCN, for whole images): stride 1 and
        dilation 2. dilate_first_block: with ``dilated``, whether that dilation includes the first
        block, as in the Caffe R-FCN; in torchvision and in the PyTorch R-FCN that KL-RPN compares
        with, only the blocks after it have it.
    """
    layers = stage(
        in_channels,
        planes=512,
        blocks=blocks,
        width=width,
        stride=1 if dilated else 2,
        caffe=caffe,
        dilation=2 if dilated else 1,
        first_dilation=2 if dilated and dilate_first_block else 1,
    )
    initialize(layers)
    return layers


class Conv5Head(nn.Module):
    """(R, C, B, B) -> conv5 at stride 2 -> mean over the cells (R, 2048 * width).

    B is 14 in Detectron's C4 networks (7 x 7 cells at the end), 7 in the baselines of KL-RPN (4 x
    4).
    """

    def __init__(self, *, in_channels: int, blocks: int, width: float, caffe: bool) -> None:
        super().__init__()
        self.layer4 = conv5(in_channels, blocks=blocks, width=width, caffe=caffe, dilated=False)
        self.out_features = scaled(2048, width)

    def forward(self, pooled: Tensor, generators: Generators | None = None) -> Tensor:
        """Nothing is drawn, so that ``generators`` are not used."""
        return self.layer4(pooled).mean(dim=(2, 3))
