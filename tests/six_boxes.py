"""Six boxes of one class with continuous edges, on which the worked examples of several
post-processings are computed.

IoU 0-1 .861575, 0-4 .906977, 1-4 .783724, 3-5 .8 exactly; box 2 overlaps 0, 1 and 4 by less than a
third.
"""

import torch

SIX = torch.tensor(
    [
        [10.0, 10, 50, 50],
        [12.0, 12, 52, 50],
        [11.0, 30, 51, 72],
        [60.0, 60, 90, 90],
        [9.0, 9, 49, 51],
        [62.0, 58, 92, 91],
    ]
)
SIX_SCORES = torch.tensor([0.9, 0.85, 0.6, 0.55, 0.4, 0.3])
