"""R-FCN's head: what each map channel moves, the vote, the order of rows, and the parameter
counts."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from torchvision.models import resnet101

from models.pooling.ps_roi_align import ps_roi_align_batched, ps_roi_pool_batched
from models.rfcn import RFCNHead

BINS = 2
POOLS = [ps_roi_align_batched, ps_roi_pool_batched]
WHOLE = torch.tensor(
    [[[0.0, 0, 128, 128]]]
)  # all 8 x 8 cells at stride 16: each bin is a quarter of them


def head(
    *,
    pool=ps_roi_pool_batched,
    in_channels=3,
    channels=5,
    num_classes=2,
    bins=BINS,
    log_variance=True,
    class_agnostic=False,
    body=None,
    scale=1 / 16,
):
    torch.manual_seed(0)
    return RFCNHead(
        body=body or nn.Identity(),
        in_channels=in_channels,
        channels=channels,
        num_classes=num_classes,
        bins=bins,
        pool=partial(pool, output_size=bins, spatial_scale=scale),
        log_variance=log_variance,
        class_agnostic=class_agnostic,
    )


def random_boxes(n, p):
    corners = torch.rand(n, p, 2, 2, generator=torch.Generator().manual_seed(1)) * 160 - 16
    return corners.sort(2).values.flatten(2)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_rows_are_in_the_order_of_the_boxes(pool, class_agnostic):
    model = head(pool=pool, class_agnostic=class_agnostic)
    features, boxes = torch.randn(2, 3, 8, 8), random_boxes(2, 5)
    together = model((features,), boxes)
    assert [output.shape for output in together] == [(10, 3), (10, 3, 4), (10, 3, 4)]
    for row, (image, number) in enumerate(product(range(2), range(5))):
        alone = model((features[image : image + 1],), boxes[image : image + 1, number : number + 1])
        for one, all_rows in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_rows[row])


def one_map_channel(layer, channel):
    """Makes the layer's only output the sum of its input, in one channel."""
    layer.weight.data.zero_()
    layer.weight.data[channel] = 1.0


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("name", ["offset_maps", "log_variance_maps"])
def test_a_box_map_channel_moves_one_slot_one_coordinate_and_reads_one_bin(
    pool, class_agnostic, name
):
    """Channel ((slot * 4 + coordinate) * B + row) * B + column, and only the quarter (row, column)
    of the map."""
    boxes = (
        WHOLE if pool is ps_roi_pool_batched else WHOLE + 8
    )  # half a cell on, samples are whole cells: 1, 3, 5, 7
    model = head(pool=pool, in_channels=1, channels=1, class_agnostic=class_agnostic)
    model.reduction.weight.data.fill_(1.0)
    slots = range(1 if class_agnostic else 3)
    for slot, coordinate, row, column in product(slots, range(4), range(BINS), range(BINS)):
        one_map_channel(
            getattr(model, name), ((slot * 4 + coordinate) * BINS + row) * BINS + column
        )
        for y, x in product(range(BINS), range(BINS)):
            features = torch.zeros(1, 1, 8, 8)
            features[..., 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = 1.0
            _, offsets, log_variance = model((features,), boxes)
            found = offsets if name == "offset_maps" else log_variance
            wanted = torch.zeros(1, 3, 4)
            if (y, x) == (row, column):
                wanted[:, slice(None) if class_agnostic else slot, coordinate] = 1 / BINS**2
            torch.testing.assert_close(found, wanted)


def test_a_class_map_channel_moves_one_class():
    model = head(in_channels=1, channels=1)
    model.reduction.weight.data.fill_(1.0)
    for slot, number in product(range(3), range(BINS**2)):
        one_map_channel(model.class_maps, slot * BINS**2 + number)
        class_logits, _, _ = model((torch.ones(1, 1, 8, 8),), WHOLE)
        torch.testing.assert_close(class_logits[0], torch.eye(3)[slot] / BINS**2)


def test_the_vote_is_the_mean_of_the_bins():
    """The worked example of test_ps_roi_align: 8 maps, two classes; its boxes are inclusive, ours
    end 1 px later."""
    plane = torch.tensor([[0.0, 1, 2, 3, 4, 5], [10, 11.5, 13, 13, 14.5, 16],
                          [20, 22, 22.5, 23, 25, 25.5], [30, 31, 32, 33, 34, 35],
                          [40, 41.5, 43, 43, 44.5, 46]])  # fmt: skip
    features = (plane + 100 * torch.arange(8)[:, None, None])[None]
    boxes = torch.tensor(
        [[[10.0, 6, 71, 59], [0, 0, 96, 80], [33.4, 17.6, 41.2, 21.1], [64, 48, 121, 101]]]
    )
    model = head(in_channels=8, channels=8, num_classes=1, log_variance=False)
    for layer in (model.reduction, model.class_maps):
        layer.weight.data = torch.eye(8)[:, :, None, None]
    class_logits, _, log_variance = model((features,), boxes)
    assert log_variance is None
    votes = torch.tensor([169.791667, 172.833333, 163.0, 192.90625])
    torch.testing.assert_close(class_logits, torch.stack([votes, votes + 400], dim=1))


def test_class_agnostic_boxes_are_the_same_for_each_class():
    _, offsets, log_variance = head(class_agnostic=True)(
        (torch.randn(1, 3, 8, 8),), random_boxes(1, 4)
    )
    for output in (offsets, log_variance):
        assert output.abs().sum() > 0
        assert torch.equal(output, output[:, :1].expand(-1, 3, -1))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_no_boxes(pool, class_agnostic):
    outputs = head(pool=pool, class_agnostic=class_agnostic)(
        (torch.randn(2, 3, 8, 8),), torch.zeros(2, 0, 4)
    )
    assert [output.shape for output in outputs] == [(0, 3), (0, 3, 4), (0, 3, 4)]
    sum(output.sum() for output in outputs).backward()


@pytest.mark.parametrize("pool", POOLS)
def test_every_layer_learns(pool):
    model = head(pool=pool, body=nn.Conv2d(3, 3, 3, padding=1))
    outputs = model((torch.randn(2, 3, 8, 8),), random_boxes(2, 6))
    sum((output**2).sum() for output in outputs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_initialization():
    model = head(in_channels=64, channels=64, num_classes=20, bins=7)
    stds = {
        "reduction": 0.01,
        "class_maps": 0.01,
        "offset_maps": 0.001,
        "log_variance_maps": 0.0001,
    }
    for name, std in stds.items():
        layer = getattr(model, name)
        assert layer.bias is None
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)


def full_size(*, classes, class_agnostic, log_variance=False):
    with torch.device("meta"):
        body = resnet101(weights=None, replace_stride_with_dilation=[False, False, True]).layer4
        return head(
            body=body,
            in_channels=2048,
            channels=1024,
            num_classes=classes,
            bins=7,
            log_variance=log_variance,
            class_agnostic=class_agnostic,
            pool=ps_roi_align_batched,
        )


def test_log_variance_maps_are_as_many_as_box_maps():
    for class_agnostic in (False, True):
        with_them, without = (
            sum(
                parameter.numel()
                for parameter in full_size(
                    classes=20, class_agnostic=class_agnostic, log_variance=given
                ).parameters()
            )
            for given in (True, False)
        )
        assert with_them - without == 1024 * 49 * 4 * (1 if class_agnostic else 21)


def test_shapes_at_full_size():
    with torch.device("meta"):
        outputs = full_size(classes=80, class_agnostic=False)(
            (torch.zeros(2, 1024, 38, 63),), torch.zeros(2, 300, 4)
        )
    assert outputs[0].shape == (600, 81)
    assert outputs[1].shape == (600, 81, 4)
