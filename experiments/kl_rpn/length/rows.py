"""RPN against KL-RPN over training length, not in the paper: the region proposal network alone.

VGG-16, MS-COCO. A scale says how long: mini, mini-2x, mini-4x, ... (LENGTH with make). Everything
else is the same on both sides.
"""

from experiments.kl_rpn.runs import klrpn_alone, rpn_alone
from experiments.postprocess import NMS_05
from experiments.records import Row, Table

ROWS = (Row("RPN", rpn_alone, NMS_05), Row("KL-RPN", klrpn_alone, NMS_05))

TABLE = Table(
    title="RPN and KL-RPN over training length: the region proposal network alone, VGG-16, MS-COCO",
    metric="first_stage",
    command="first_stage_length",
    rows=ROWS,
    comparisons=(("KL-RPN", "RPN"),),
)
