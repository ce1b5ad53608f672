"""The record that says how candidates become detections."""

from dataclasses import dataclass
from typing import Literal, get_args

from postprocess.box_voting import BoxVoting
from postprocess.qubo import Qubo

Suppression = Literal[
    "hard", "soft_linear", "soft_gaussian", "iou_guided", "qubo_greedy", "qubo_tabu"
]
VoterSet = Literal["all", "remaining"]
VarianceSpace = Literal["offset", "pixel"]


@dataclass(frozen=True, kw_only=True)
class PostprocessConfig:
    """How candidates become detections. The defaults are plain NMS without voting."""

    suppression: Suppression = "hard"
    iou_threshold: float = (
        0.5  # IoU; hard, soft_linear and iou_guided act on boxes that overlap the winner by more
    )
    soft_nms_sigma: float = 0.5  # the sigma of soft_gaussian, IoU^2
    score_floor: float = 0.001  # soft: an overlapping box whose decayed score is below drops out
    qubo: Qubo | None = (
        None  # the energy of qubo_greedy and qubo_tabu; None is the one that the authors gave each
    )
    box_voting: BoxVoting | None = (
        None  # the vote by scores of MR-CNN and Detectron; None means no such vote
    )
    sigma_t: float = 0.0  # the variance vote's temperature, Eq. 11; 0 means no such vote
    voters: VoterSet = (
        "all"  # "all": Algorithm 1; "remaining": the released code, see variance_voting.py
    )
    voter_iou: float = 0.0  # a box votes if its IoU with the selected box is larger
    variance_space: VarianceSpace = (
        "offset"  # which variances vote: of the offsets (released code) or of the pixels
    )
    # the released code's channel mix-up: y1 votes with the variance of x2 and x2 with y1's
    swap_y1_x2: bool = False
    score_threshold: float = 0.05  # a candidate takes part if its score is larger
    max_detections: int = 100  # per image, over all classes

    def __post_init__(self) -> None:
        for name, choices in (
            ("suppression", Suppression),
            ("voters", VoterSet),
            ("variance_space", VarianceSpace),
        ):
            if getattr(self, name) not in get_args(choices):
                given = getattr(self, name)
                raise ValueError(
                    f"PostprocessConfig.{name} is {given!r}; choose one of {get_args(choices)}."
                )
        for name, good, rule in (
            ("iou_threshold", 0 <= self.iou_threshold <= 1, "in [0, 1]"),
            ("soft_nms_sigma", self.soft_nms_sigma > 0, "larger than 0"),
            ("score_floor", self.score_floor >= 0, "0 or larger"),
            ("sigma_t", self.sigma_t >= 0, "0 (no voting) or larger"),
            ("voter_iou", 0 <= self.voter_iou < 1, "in [0, 1)"),
            ("max_detections", self.max_detections >= 1, "1 or larger"),
        ):
            if not good:
                raise ValueError(
                    f"PostprocessConfig.{name} is {getattr(self, name)}; it must be {rule}."
                )
        if self.needs_positive_scores() and not self.score_threshold >= 0:
            raise ValueError(
                f"PostprocessConfig.score_threshold is {self.score_threshold}; soft-NMS multiplies"
                " scores by factors, and box voting without weight_shift weighs by them, so that no"
                " score may be negative: it must be 0 or larger."
            )
        if self.box_voting is not None and self.sigma_t > 0:
            raise ValueError(
                f"PostprocessConfig.box_voting is set and sigma_t is {self.sigma_t}; a box moves"
                " by one vote only: set sigma_t to 0, or box_voting to None."
            )

    def needs_positive_scores(self) -> bool:
        """Whether negative scores, as those of an SVM, would give wrong detections."""
        soft = self.suppression in ("soft_linear", "soft_gaussian")
        return soft or (self.box_voting is not None and self.box_voting.weight_shift is None)


# What the released test code does (docs/kl_loss.md, points 16, 18-20, 23, 24), where
# it differs.
AUTHOR_RELEASE = PostprocessConfig(
    suppression="soft_gaussian", sigma_t=0.01, voters="remaining", voter_iou=0.01, swap_y1_x2=True
)
