"""The lines of TensorBoard's table of settings."""

from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from experiments.records import Row
from postprocess.pipeline import PostprocessConfig
from scripts.engine.evaluation.hparams import write_row, write_settings
from scripts.engine.places import RunPlace
from tests.tiny import TINY_KL

ROW = Row("KL Loss + var voting", TINY_KL, PostprocessConfig(sigma_t=0.02))


@pytest.fixture
def place(tmp_path):
    return RunPlace(out=tmp_path, scale="tiny", paper="kl_loss", run="tiny_kl", seed=0)


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def settings_in(events):
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: value.string_value or value.number_value for name, value in values.items()}


def test_a_row_is_there_once_however_often_it_is_evaluated(place):
    write_settings(place.tensorboard, {"lr": 0.5})
    for ap in (20.0, 30.0):
        write_row(ROW, "kl_loss/table1", TINY_KL, place, {"AP": ap, "per_class": {}}, 6)
    events = read(place.tensorboard / "kl_loss/table1/KL_Loss_+_var_voting")
    (point,) = events.Tensors("table/AP")
    assert (point.step, float(make_ndarray(point.tensor_proto))) == (6, 30.0)
    shown = settings_in(events)
    assert shown["row"] == "KL Loss + var voting"
    assert shown["sigma_t"] == "0.02"
    assert shown["lr"] == pytest.approx(1e-3)
    assert settings_in(read(place.tensorboard)) == {"lr": 0.5}


def test_a_run_without_events_is_left_as_it_is(place):
    write_row(ROW, "kl_loss/table1", TINY_KL, replace(place, seed=1), {"AP": 1.0}, 6)
    assert not (place.out / "tiny").exists()
