"""What turns the pooled features of a RoI into one vector: the two fully connected layers fc6 and fc7."""

from torch import Tensor, nn

from models.vgg import initialise


class TwoMLPHead(nn.Module):
    """(R, C, B, B) -> fc6 -> fc7 (R, D): VGG's classifier without its last layer, or Faster R-CNN's two-MLP head.

    fc_dims: widths of fc6 and fc7 (4096, 4096 for VGG-16; 4096, 1024 for VGG-CNN-M-1024). dropout: after each, 0.5 in
    the VOC recipes, 0 in the COCO ones.
    """

    def __init__(self, *, in_features: int, fc_dims: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, fc_dims[0])
        self.fc7 = nn.Linear(fc_dims[0], fc_dims[1])
        self.activate = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(dropout))
        self.out_features = fc_dims[1]
        initialise(self)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.activate(self.fc7(self.activate(self.fc6(pooled.flatten(1)))))
