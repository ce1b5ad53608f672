"""Readings of KL-RPN, not in the paper: which choice that it leaves open holds the means back.

The region proposal network alone, VGG-16, MS-COCO; each row changes one thing. The first group
changes KL-RPN, the second the number of anchors that both sides sample, the third how both are
trained.
"""

from experiments.kl_rpn.runs import (
    klrpn_adam,
    klrpn_adam_10,
    klrpn_alone,
    klrpn_anchors_2,
    klrpn_anchors_5,
    klrpn_anchors_10,
    klrpn_anchors_half,
    klrpn_anchors_third,
    klrpn_detached,
    klrpn_gamma_1,
    klrpn_gamma_exponent,
    klrpn_mean,
    klrpn_quarter_positive,
    klrpn_third,
    klrpn_warm,
    rpn_again,
    rpn_alone,
    rpn_anchors_2,
    rpn_anchors_5,
    rpn_anchors_10,
    rpn_anchors_half,
    rpn_anchors_third,
    rpn_sgd,
)
from experiments.postprocess import NMS_05
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("RPN",                                     rpn_alone,              NMS_05),
    Row("KL-RPN",                                  klrpn_alone,            NMS_05),
    Row("KL-RPN, gamma 1",                         klrpn_gamma_1,          NMS_05),
    Row("KL-RPN, gamma in the exponent",           klrpn_gamma_exponent,   NMS_05),
    Row("KL-RPN, negatives train variance alone",  klrpn_detached,         NMS_05),
    Row("KL-RPN, mean over coordinates",           klrpn_mean,             NMS_05),
    Row("KL-RPN, log variance starts at ln 1/3",   klrpn_third,            NMS_05),
    Row("KL-RPN, at most a quarter positive",      klrpn_quarter_positive, NMS_05),
    Row("RPN, 1/3 of the anchors",                 rpn_anchors_third,      NMS_05),
    Row("KL-RPN, 1/3 of the anchors",              klrpn_anchors_third,    NMS_05),
    Row("RPN, 1/2 of the anchors",                 rpn_anchors_half,       NMS_05),
    Row("KL-RPN, 1/2 of the anchors",              klrpn_anchors_half,     NMS_05),
    Row("RPN, 2 times the anchors",                rpn_anchors_2,          NMS_05),
    Row("KL-RPN, 2 times the anchors",             klrpn_anchors_2,        NMS_05),
    Row("RPN, 5 times the anchors",                rpn_anchors_5,          NMS_05),
    Row("KL-RPN, 5 times the anchors",             klrpn_anchors_5,        NMS_05),
    Row("RPN, 10 times the anchors",               rpn_anchors_10,         NMS_05),
    Row("KL-RPN, 10 times the anchors",            klrpn_anchors_10,       NMS_05),
    Row("RPN, from the trained RPN",               rpn_again,              NMS_05),
    Row("KL-RPN, from the trained RPN",            klrpn_warm,             NMS_05),
    Row("RPN, SGD as printed",                     rpn_sgd,                NMS_05),
    Row("KL-RPN, Adam as printed",                 klrpn_adam,             NMS_05),
    Row("KL-RPN, Adam, 10 times the rate",         klrpn_adam_10,          NMS_05),
)
# fmt: on

TABLE = Table(
    title="Readings of KL-RPN: the region proposal network alone, VGG-16, MS-COCO",
    metric="first_stage",
    command="first_stage",
    rows=ROWS,
    comparisons=(
        ("KL-RPN", "RPN"),
        ("KL-RPN, gamma 1", "KL-RPN"),
        ("KL-RPN, gamma in the exponent", "KL-RPN"),
        ("KL-RPN, negatives train variance alone", "KL-RPN"),
        ("KL-RPN, mean over coordinates", "KL-RPN"),
        ("KL-RPN, log variance starts at ln 1/3", "KL-RPN"),
        ("KL-RPN, at most a quarter positive", "KL-RPN"),
        ("KL-RPN, 1/3 of the anchors", "KL-RPN"),
        ("KL-RPN, 1/3 of the anchors", "RPN, 1/3 of the anchors"),
        ("KL-RPN, 1/2 of the anchors", "KL-RPN"),
        ("KL-RPN, 1/2 of the anchors", "RPN, 1/2 of the anchors"),
        ("KL-RPN, 2 times the anchors", "KL-RPN"),
        ("KL-RPN, 2 times the anchors", "RPN, 2 times the anchors"),
        ("KL-RPN, 5 times the anchors", "KL-RPN"),
        ("KL-RPN, 5 times the anchors", "RPN, 5 times the anchors"),
        ("KL-RPN, 10 times the anchors", "KL-RPN"),
        ("KL-RPN, 10 times the anchors", "RPN, 10 times the anchors"),
        ("KL-RPN, from the trained RPN", "KL-RPN"),
        ("KL-RPN, from the trained RPN", "RPN, from the trained RPN"),
        ("KL-RPN, Adam as printed", "RPN, SGD as printed"),
        ("KL-RPN, Adam, 10 times the rate", "RPN, SGD as printed"),
    ),
)
