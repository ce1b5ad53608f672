import pytest
import torch

from losses.precision import at_least_float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_becomes_float32(dtype):
    values = torch.tensor([1.5, -2.0], dtype=dtype)
    assert at_least_float32(values).dtype == torch.float32
    assert at_least_float32(values).tolist() == [1.5, -2.0]


def test_float64_stays():
    values = torch.tensor([0.1], dtype=torch.float64)
    assert torch.equal(at_least_float32(values), values)
