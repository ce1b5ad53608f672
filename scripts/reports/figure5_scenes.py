"""The picture of KL Loss Figure 5: the detections that var voting moves most, their voters, sigma.

Letters: V voters, n moves (data/scoring/box_moves.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from data.boxes import box_iou
from data.records import Candidates, Dataset, Detections
from data.scoring.box_moves import Moves, paired_iou
from postprocess.pipeline import PostprocessConfig
from postprocess.variance_voting import log_proximity
from scripts.reports.pictures import save_picture

BETTER, WORSE = 4, 2  # images in the picture
COLUMNS = 3  # of the picture
SHARE = 0.01  # a voter is drawn if it has at least this share of the vote on some side
MARGIN = 0.22  # of the longer side: what is shown around the boxes
LEAST_MARGIN = 10.0  # px
RED, GREEN, BLUE, GRAY = "#e00000", "#00a000", "#0030ff", "#b4b4b4"  # before, after, truth, voters
# where sigma stands at each side (x1, y1, x2, y2): direction in the picture, and alignment there
SIDES = ((-1, 0), (0, 1), (1, 0), (0, -1))
HORIZONTAL = {-1: "right", 0: "center", 1: "left"}
VERTICAL = {-1: "top", 0: "center", 1: "bottom"}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One panel of the picture.

    Args:
        image: (3, H, W) uint8.
        before: (4,) px, the box before voting.
        after: (4,) px, the box after voting.
        truth: (4,) px, the clean box where it is known, else the label.
        sigma: (4,) standard deviation of each side of ``before``, in offset units.
        voters: (V, 4) px, see ``voters_of``.
        better: whether the IoU with the truth grows.
        title: of the panel.
    """

    image: Tensor
    before: Tensor
    after: Tensor
    truth: Tensor
    sigma: Tensor
    voters: Tensor
    better: bool
    title: str


def most_moved(gains: Tensor, images: Tensor) -> list[int]:
    """The moves to show, of each image at most one: those that gain most IoU, then those that lose
    most.

    Args:
        gains: (n,) change of IoU.
        images: (n,) i64, the image of each.

    Returns:
        At most BETTER + WORSE positions; of equals the first.
    """
    chosen: list[int] = []
    for values, many in ((gains, BETTER), (-gains, WORSE)):
        limit = len(chosen) + many
        for place in values.argsort(descending=True, stable=True).tolist():
            moved = values[place] > 0 and images[place] not in images[chosen]
            if moved and len(chosen) < limit:
                chosen.append(place)
    return chosen


def voters_of(
    box: Tensor, label: Tensor, candidates: Candidates, config: PostprocessConfig
) -> Tensor:
    """The candidates that decide where a detection goes: those with SHARE of the vote (Eq. 11) on
    at least one side.

    Args:
        box: (4,) px, the detection before voting.
        label: its class.
        candidates: all of its image.
        config: how it was post-processed.

    Returns:
        (V, 4) px.
    """
    assert candidates.variances is not None
    scored = candidates.scores > config.score_threshold
    of_class = candidates.select((candidates.labels == label) & scored)
    iou = box_iou(box[None], of_class.boxes)[0]
    near = of_class.select(iou > config.voter_iou)
    assert near.variances is not None
    proximity = log_proximity(iou[iou > config.voter_iou], config.sigma_t)
    votes = (proximity[:, None] - near.variances.log()).softmax(dim=0)
    return near.boxes[votes.amax(dim=1) >= SHARE]


def scenes(
    dataset: Dataset,
    candidates: Sequence[Candidates],
    before: Sequence[Detections],
    moves: Moves,
    config: PostprocessConfig,
) -> list[Scene]:
    """The panels.

    Args:
        candidates: of each image.
        before: the detections of each image before voting, sigma in offset units.
        moves: what voting does to them.
        config: the voting.
    """
    old, new = (paired_iou(boxes, moves.truth) for boxes in (moves.before, moves.after))
    panels = []
    for move in most_moved(new - old, moves.image):
        image, row = int(moves.image[move]), int(moves.detection[move])
        detections = before[image]
        assert detections.sigma is not None
        label = detections.labels[row]
        voters = voters_of(detections.boxes[row], label, candidates[image], config)
        a, b = 100.0 * float(old[move]), 100.0 * float(new[move])
        change = "better" if b > a else "WORSE"
        name, score = dataset.classes[int(label) - 1], float(detections.scores[row])
        panels.append(Scene(
            image=dataset[image].image, before=moves.before[move], after=moves.after[move],
            truth=moves.truth[move], sigma=detections.sigma[row], voters=voters, better=b > a,
            title=f"{change}: {name} {score:.2f}, image {dataset.image_ids[image]}\n"
                  f"IoU {a:.1f} to {b:.1f} ({b - a:+.1f}), {len(voters)} voters"))  # fmt: skip
    return panels


def draw_box(axis: Axes, box: Tensor, **style: Any) -> None:
    x1, y1, x2, y2 = box.tolist()
    axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))


def draw_scene(axis: Axes, scene: Scene) -> None:
    """The surroundings of one detection, enlarged; sigma stands outside the middle of each side."""
    height, width = scene.image.shape[-2:]
    pixels = scene.image.permute(1, 2, 0).numpy()
    axis.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest")
    for voter in scene.voters:
        draw_box(axis, voter, edgecolor=GRAY, linewidth=0.8)
    for box in (scene.before, scene.after):  # a white rim sets the lines off from any color
        draw_box(axis, box, edgecolor="white", linewidth=3.4)
    draw_box(axis, scene.before, edgecolor=RED, linewidth=2.0)
    draw_box(axis, scene.after, edgecolor=GREEN, linewidth=2.0)
    draw_box(axis, scene.truth, edgecolor=BLUE, linewidth=1.6, linestyle=":")
    write_sigma(axis, scene)
    zoom(axis, torch.stack([scene.before, scene.after, scene.truth]))
    axis.set(facecolor="0.93", xticks=(), yticks=())
    axis.set_title(scene.title, fontsize=10, color="black" if scene.better else "darkred")


def write_sigma(axis: Axes, scene: Scene) -> None:
    """Sigma of each side of the box before voting, outside both boxes and the truth."""
    boxes = torch.stack([scene.before, scene.after, scene.truth])
    x1, y1 = boxes[:2, :2].amin(dim=0).tolist()
    x2, y2 = boxes[:2, 2:].amax(dim=0).tolist()
    middle_x, middle_y = (scene.before[:2] + scene.before[2:]).div(2).tolist()
    places = ((x1, middle_y), (middle_x, y1), (x2, middle_y), (middle_x, y2))
    frame = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": RED,
             "linewidth": 0.8}  # fmt: skip
    for value, place, (dx, dy) in zip(scene.sigma.tolist(), places, SIDES, strict=True):
        axis.annotate(
            f"{value:.2f}", place, xytext=(4 * dx, 4 * dy), textcoords="offset points",
            fontsize=9, ha=HORIZONTAL[dx], va=VERTICAL[dy], bbox=frame,
        )  # fmt: skip


def zoom(axis: Axes, boxes: Tensor) -> None:
    """Shows a square around the boxes (n, 4) px."""
    low, high = boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)
    half = float((high - low).max()) / 2
    half += max(LEAST_MARGIN, MARGIN * 2 * half)
    x, y = ((low + high) / 2).tolist()
    axis.set(xlim=(x - half, x + half), ylim=(y + half, y - half))


def draw(panels: Sequence[Scene], path: Path, title: str, truth: str) -> None:
    """All panels in one picture; without any it says so.

    Args:
        truth: what the dotted boxes are called.
    """
    rows = max(1, -(-len(panels) // COLUMNS))
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(4.4 * COLUMNS, 4.8 * rows + 1.0), squeeze=False,
        constrained_layout=True,
    )  # fmt: skip
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, scene in zip(axes.flat, panels, strict=False):
        draw_scene(axis, scene)
    if not panels:
        text = "voting moved no recognized object"
        axes[0, COLUMNS // 2].text(0.5, 0.5, text, ha="center", va="center")
    lines = legend(truth)
    figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=len(lines))
    figure.suptitle(title)
    save_picture(figure, path)


def legend(truth: str) -> dict[str, Line2D]:
    """{what a box is: its line}."""
    return {
        "before (sigma at each side, offset units)": Line2D([], [], color=RED, linewidth=2.0),
        "after var voting": Line2D([], [], color=GREEN, linewidth=2.0),
        f"voters with {SHARE:.0%} of the vote or more": Line2D([], [], color=GRAY, linewidth=1.0),
        truth: Line2D([], [], color=BLUE, linewidth=1.6, linestyle=":"),
    }
