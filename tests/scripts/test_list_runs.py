"""What the shell scripts read: runs with their backbones and batches, and commands."""

from scripts import list_runs


def test_runs_are_listed_with_backbone_images_an_update_and_round(capsys):
    assert list_runs.main(["kl_loss/table5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "kl_loss/vggm_voc vgg_cnn_m_1024 8 0",
        "kl_loss/vggm_voc_kl vgg_cnn_m_1024 8 0",
        "kl_loss/vgg16_voc vgg16 8 0",
        "kl_loss/vgg16_voc_kl vgg16 8 0",
    ]
    assert list_runs.main(["kl_loss/table5", "--scale", "lite"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "kl_loss/vggm_voc mobilenet_v2 4 0",
        "kl_loss/vggm_voc_kl mobilenet_v2 4 0",
    ]
    assert list_runs.main(["kl_loss/table6"]) == 0
    rounds = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert rounds == ["0"] * 5 + ["1"] * 3 + ["2"]


def test_commands_are_listed_in_order(capsys):
    for table, commands in (
        ("kl_loss/table1", ["evaluate", "report"]),
        ("kl_loss/table2", ["benchmark", "report"]),
        ("kl_loss/figure6", ["evaluate", "report", "figure6"]),
        ("kl_rpn/figure3", ["figure3", "swap"]),
    ):
        assert list_runs.main([table, "--commands"]) == 0
        assert capsys.readouterr().out.split() == commands


def test_an_unknown_table_is_a_sentence(capsys):
    assert list_runs.main(["kl_loss/table9"]) == 2
    assert "There is no table 'kl_loss/table9'" in capsys.readouterr().err
