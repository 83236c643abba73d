"""Doors: what a command offers, settings, presets, and what is said of options that have gone."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from spade_cli.app import app
from spade_cli.command import spelled

runner = CliRunner()
# Options that every count leaves out: the three groups, and those that say the same on every command that has them.
SHARED = {"workspace", "verbose", "quiet", "json", "device", "dtype", "seed", "force", "source", "preset", "settings"}
SHARED |= {"limit", "strict", "lenient", "workers", "help"}
MOST = {"invert": 10, "calibrate": 8, "train-relations": 10, "train-boxes": 8, "predict": 14, "eval": 14}
# What a command has no use for, it does not offer.
WITHOUT = {
    "status": {"device", "dtype", "seed", "force", "source"},
    "export-graph": {"device", "dtype", "seed"},
    "world": {"device", "dtype", "source"},
    "train-boxes": {"dtype", "source"},
    "predict": {"seed"},
}


def spade(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def options(command):
    return {own.name for own in get_command(app).commands[command].params if own.param_type_name == "option"}


@pytest.mark.parametrize(("command", "most"), MOST.items())
def test_doors_are_few(command, most):
    assert len(options(command) - SHARED) <= most


@pytest.mark.parametrize(("command", "absent"), WITHOUT.items())
def test_what_is_of_no_use_is_not_offered(command, absent):
    assert not options(command) & absent
    for name in absent:
        result = spade(command, f"--{'from' if name == 'source' else name}", "x")
        assert result.exit_code == 2
        assert "leave it out" in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train-relations", "--nodes", "layout"), "spade train-boxes DATA"),
        (("train-relations", "--octaves", "5"), "--set fourier_bands=VALUE"),
        (("train-relations", "--no-places"), "--set positional_encoding=VALUE"),
        (("train-relations", "--layers=4"), "--set layers=VALUE"),
        (("train-relations", "--imbalance", "adjust"), "--set logit_adjustment (adjust) or reweighting"),
        (("train-relations", "--gate"), "measured level with the default and is gone (docs/results/stage-2.md)"),
        (("train-relations", "--withheld", "0.1"), "spade train-boxes DATA --set label_dropout=0.2"),
        (("calibrate", "--alignment", "index"), "--set alignment=VALUE"),
        (("invert", "d", "--grids", "1"), "--set grids=VALUE"),
        (("predict", "x", "--novel-odds", "1"), "--set unseen_odds=VALUE"),
        (("eval", "x", "--balance", "1"), "--set logit_adjustment=VALUE"),
    ],
)
def test_what_is_gone_is_answered_with_where_it_went(arguments, message):
    result = spade(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("spade: --")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["invert", "calibrate", "train-relations", "train-boxes", "predict", "eval"])
def test_settings_are_listed(command):
    result = spade(command, "--set", "help")
    assert result.exit_code == 0, result.output
    rows = [line.partition("=") for line in result.stdout.splitlines()]
    assert rows
    assert all(name.isidentifier() and meaning for name, _, meaning in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("calibrate", "--set", "rank"), "--set rank: write NAME=VALUE"),
        (("calibrate", "--set", "rank=4", "--rank", "8"), "rank: is given twice"),
        (("calibrate", "--set", "depth=4"), "depth: is no setting here; there are"),
        (("calibrate", "--set", "rank=many"), "--rank many: use a whole number"),
        (("train-relations", "--set", "width=40"), "run first: spade calibrate"),
        (("train-boxes", "x", "--set", "decay=slow"), "--set decay=slow: use cosine or step"),
        (("predict", "x", "--set", "fusion=2"), "--set fusion=2: use a number from 0 to 1"),
        (("eval", "x", "--set", "unseen_odds=-1"), "--set unseen_odds=-1: use a number of at least 0"),
    ],
)
def test_a_bad_setting_is_one_sentence(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = spade(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())


def test_names_of_parameters_become_flags():
    flags = {
        "rank": (["--rank"], []),
        "source": (["--from"], []),
        "strict": (["--strict"], []),
        "output": (["-o", "--output"], []),
    }
    assert spelled("`rank=0`: use more, not `source`.", flags) == "--rank 0: use more, not --from."
    assert spelled("leave `strict=True` out; `output` stays", flags) == "leave --strict out; --output stays"
    assert spelled("`fusion=2`, `other=1`", flags, {"fusion"}) == "--set fusion=2, other=1"


def test_short_forms(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert spade("-h").exit_code == spade("predict", "-h").exit_code == 0
    assert spade("world", "w", "--images", 5, "--quiet").exit_code == 0
    result = spade("predict", "w/images/000004.png", "-o", "out", "--model", "tiny", "--quiet")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"000004.json", "000004.png"}


def test_the_old_name_in_python_stays_for_a_release():
    import spade as library

    with pytest.warns(DeprecationWarning, match="load_relation_predictor"):
        assert library.load_relater().vocabulary == library.load_relation_predictor().vocabulary
