"""The claims of both papers, and which committed numbers speak for or against each.

docs/claims.md is rendered from these declarations and the results folders (scripts.claims).
"""

from dataclasses import dataclass
from typing import Literal

from experiments.scales import SCALES

Expected = Literal["up", "down", "flat"]

EVERY_SCALE = tuple(SCALES)
PAPER = ("paper",)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One number that a claim makes a statement about: a row minus another, or a row alone.

    table: "paper/table". row, minus: labels; minus "" compares the row with ``level``. group: of
    both rows. minus_group: "" or another group, in which the same difference is taken away
    ("heavier heads gain more"). column: of the results; part: "" for the one that judges first (the
    clean boxes where they are known), or a part of the results by name. expected: the sign that the
    claim states; "flat" is within ``tolerance``. relative: the difference in percent of ``minus``.
    exact: a number for which one measurement is enough. scales: where it is looked for.
    """

    table: str
    row: str
    minus: str = ""
    group: str = ""
    minus_group: str = ""
    column: str = "AP"
    part: str = ""
    expected: Expected = "up"
    level: float = 0.0
    tolerance: float = 0.0
    relative: bool = False
    exact: bool = False
    scales: tuple[str, ...] = EVERY_SCALE


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of a paper (or a control of ours), its evidence, and what to know beside it."""

    text: str
    source: str
    evidence: tuple[Evidence, ...]
    comment: str = ""


FASTER, FAST = "Faster R-CNN", "fast R-CNN"
VGG, R101, RFCN = "Faster R-CNN VGG-16", "Faster R-CNN ResNet-101", "R-FCN ResNet-101"
KL, VOTE, SOFT = "KL Loss", "KL Loss + var voting", "KL Loss + soft-NMS"
ALL_1 = "KL Loss + soft-NMS + var voting"
ALL = "KL Loss + var voting + soft-NMS"
BASE_2X = "baseline (2x schedule)"

# fmt: off
CLAIMS = (
    Claim(
        text="KL Loss alone raises AP",
        source="KL Loss, Tables 1, 3 to 6",
        evidence=(
            Evidence(table="kl_loss/table1", row=KL, minus="baseline"),
            Evidence(table="kl_loss/table3", row=KL, minus="baseline", group="2mlp head"),
            Evidence(table="kl_loss/table3", row=KL, minus="baseline", group="2mlp head + mask"),
            Evidence(table="kl_loss/table3", row=KL, minus="baseline", group="conv5 head"),
            Evidence(table="kl_loss/table5", row=KL, minus="baseline", group="VGG-CNN-M-1024",
                     column="mAP"),
            Evidence(table="kl_loss/table5", row=KL, minus="baseline", group="VGG-16",
                     column="mAP"),
            Evidence(table="kl_loss/table6", row=KL, minus=BASE_2X, group=FAST),
        ),
    ),
    Claim(
        text="soft-NMS adds to it",
        source="KL Loss, Tables 1 and 6",
        evidence=(
            Evidence(table="kl_loss/table1", row="soft-NMS", minus="baseline"),
            Evidence(table="kl_loss/table1", row=SOFT, minus=KL),
            Evidence(table="kl_loss/table6", row="soft-NMS", minus=BASE_2X, group=FASTER),
            Evidence(table="kl_loss/table6", row="soft-NMS", minus=BASE_2X, group=FAST),
        ),
    ),
    Claim(
        text="Var voting gains at high IoU, not at AP50",
        source="KL Loss, Tables 1, 4 and 6",
        evidence=(
            Evidence(table="kl_loss/table1", row=VOTE, minus=KL, column="AP75"),
            Evidence(table="kl_loss/table1", row=VOTE, minus=KL, column="AP90"),
            Evidence(table="kl_loss/table1", row=VOTE, minus=KL, column="AP50", expected="flat",
                     tolerance=1.0),
            Evidence(table="kl_loss/table4", row=VOTE, minus=KL, column="AP90"),
            Evidence(table="kl_loss/table4", row=VOTE, minus=KL, column="AP50", expected="flat",
                     tolerance=1.0),
            Evidence(table="kl_loss/table6", row=VOTE, minus=KL, group=FASTER, column="AP75"),
        ),
    ),
    Claim(
        text="Var voting and soft-NMS add up",
        source="KL Loss, Tables 1, 4 to 6",
        evidence=(
            Evidence(table="kl_loss/table1", row=ALL_1, minus=SOFT),
            Evidence(table="kl_loss/table1", row=ALL_1, minus=VOTE),
            Evidence(table="kl_loss/table4", row=ALL, minus=VOTE),
            Evidence(table="kl_loss/table5", row=ALL, minus=VOTE, group="VGG-16", column="mAP"),
            Evidence(table="kl_loss/table6", row=ALL, minus=VOTE, group=FASTER),
        ),
    ),
    Claim(
        text="sigma_t from 0.005 to 0.05 is acceptable",
        source="KL Loss, Figure 6",
        evidence=(
            Evidence(table="kl_loss/figure6", row="sigma_t = 0.005", minus="sigma_t = 0"),
            Evidence(table="kl_loss/figure6", row="sigma_t = 0.01", minus="sigma_t = 0"),
            Evidence(table="kl_loss/figure6", row="sigma_t = 0.025", minus="sigma_t = 0"),
            Evidence(table="kl_loss/figure6", row="sigma_t = 0.05", minus="sigma_t = 0"),
        ),
    ),
    Claim(
        text="Heavier heads gain more from KL Loss",
        source="KL Loss, Table 3",
        evidence=(
            Evidence(table="kl_loss/table3", row=KL, minus="baseline", group="conv5 head",
                     minus_group="2mlp head"),
            Evidence(table="kl_loss/table3", row=KL, minus="baseline", group="2mlp head + mask",
                     minus_group="2mlp head"),
        ),
    ),
    Claim(
        text="KL Loss and var voting are nearly free at test time",
        source="KL Loss, Table 2",
        evidence=(
            Evidence(table="kl_loss/table2", row="ours", minus="baseline", column="latency_ms",
                     expected="flat", tolerance=5.0, relative=True, exact=True, scales=PAPER),
        ),
        comment="Full-size networks on two CPU cores, with soft-NMS on our side alone; not "
        "measured on a GPU.",
    ),
    Claim(
        text="sigma is larger at occluded and ambiguous sides",
        source="KL Loss, sections 1 and 4.2",
        evidence=(
            Evidence(table="kl_loss/table1", row=KL, column="spearman_true", part="labels",
                     scales=("mini",)),
            Evidence(table="kl_loss/table1", row=KL, column="spearman_error", part="labels"),
            Evidence(table="kl_loss/table5", row=KL, group="VGG-16", column="spearman_error",
                     part="labels"),
        ),
        comment="The rank correlation of the predicted sigma with the noise that the labels were "
        "given (mini alone), and with the error of the box.",
    ),
    Claim(
        text="QUBO suppresses worse than NMS",
        source="KL Loss, Table 5",
        evidence=(
            Evidence(table="kl_loss/table5", row="QUBO (tabu)", minus="baseline", group="VGG-16",
                     column="mAP", expected="down"),
            Evidence(table="kl_loss/table5", row="QUBO (greedy)", minus="baseline", group="VGG-16",
                     column="mAP", expected="down"),
        ),
    ),
    Claim(
        text="It works on small data sets and networks as well",
        source="KL Loss, Table 5",
        evidence=(
            Evidence(table="kl_loss/table5", row=ALL, minus="baseline", group="VGG-CNN-M-1024",
                     column="mAP"),
            Evidence(table="kl_loss/table5", row=ALL, minus="baseline", group="VGG-16",
                     column="mAP"),
        ),
    ),
    Claim(
        text="KL-RPN raises the detector's AP",
        source="KL-RPN, Tables 1 and 2",
        evidence=(
            Evidence(table="kl_rpn/table1", row="KL-RPN", minus="RPN", group=VGG),
            Evidence(table="kl_rpn/table1", row="KL-RPN", minus="RPN", group=R101),
            Evidence(table="kl_rpn/table1", row="KL-RPN", minus="RPN", group=RFCN),
            Evidence(table="kl_rpn/table2", row="KL-RPN", minus="RPN", group=VGG, column="mAP"),
            Evidence(table="kl_rpn/table2", row="KL-RPN", minus="RPN", group=R101, column="mAP"),
            Evidence(table="kl_rpn/table2", row="KL-RPN", minus="RPN", group=RFCN, column="mAP"),
            Evidence(table="kl_rpn/detector_length", row="KL-RPN", minus="RPN",
                     scales=("mini-4x", "mini-16x")),
        ),
        comment="How the difference changes with the length of training: "
        "`experiments/kl_rpn/detector_length/results/`.",
    ),
    Claim(
        text="KL-RPN's score sorts proposals by their offsets, the RPN's does not",
        source="KL-RPN, Figure 3",
        evidence=(
            Evidence(table="kl_rpn/figure3", row="KL-RPN", minus="RPN", column="ks", part="x"),
            Evidence(table="kl_rpn/figure3", row="KL-RPN", minus="RPN", column="ks", part="y"),
            Evidence(table="kl_rpn/figure3", row="KL-RPN", minus="RPN", column="ks", part="w"),
            Evidence(table="kl_rpn/figure3", row="KL-RPN", minus="RPN", column="ks", part="h"),
        ),
        comment="The Kolmogorov-Smirnov distance between the offsets of proposals with high and "
        "with low objectness. Without a second stage KL-RPN's is the larger one from 1,300 updates "
        "on, most at 5,200, hardly at 20,800: `experiments/kl_rpn/length/results/`.",
    ),
    Claim(
        text="KL-RPN costs no parameters and no time worth mentioning",
        source="KL-RPN, Table 1",
        evidence=(
            Evidence(table="kl_rpn/table1", row="KL-RPN", minus="RPN", group=VGG,
                     column="params_M", expected="flat", tolerance=1.0, relative=True, exact=True,
                     scales=("mini", "lite", "paper")),  # lite600 has lite's network
            Evidence(table="kl_rpn/table1", row="KL-RPN", minus="RPN", group=VGG,
                     column="speed_ms", expected="flat", tolerance=10.0, relative=True),
            Evidence(table="kl_rpn/table1", row="KL-RPN", minus="RPN", group=R101,
                     column="speed_ms", expected="flat", tolerance=10.0, relative=True),
        ),
        comment="Full-size modules have the printed numbers of parameters (docs/kl_rpn.md). At "
        "lite KL-RPN is faster because NMS leaves fewer of its proposals (docs/kl_rpn_results.md).",
    ),
    Claim(
        text="Control: KL Loss gains beyond its edge coding, and beyond training longer",
        source="ours",
        evidence=(
            Evidence(table="kl_loss/controls", row=KL, minus="edge offsets only"),
            Evidence(table="kl_loss/controls", row="KL Loss from the baseline",
                     minus="baseline, trained twice as long"),
        ),
        comment="What edge coding and twice the length bring by themselves: "
        "`experiments/kl_loss/controls/results/`.",
    ),
)
# fmt: on
