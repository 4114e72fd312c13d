"""Tasks, their runs, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import zor


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_has_metrics_and_files(capsys):
    seen = []
    run = zor.train(
        "fashion-reconstruction", steps=8, baseline=False, callback=seen.append, progress=False
    )
    assert run.metrics["steps"] == 8 and run.metrics["task"] == "fashion-reconstruction"
    assert seen[-1]["step"] == 8 and seen[-1]["psnr_db"] == run.metrics["psnr_db"]
    assert run.model.is_file() and (run.folder / "config.toml").is_file()
    assert run.network().predict(np.ones((1, 784))).shape == (1, 784)
    assert "PSNR" in str(run)
    assert capsys.readouterr().err == ""


def test_equal_bits_with_the_command():
    settings = dict(steps=5, baseline=False, seed=3)
    run = zor.train("fashion-reconstruction", out="python", progress=False, **settings)
    command(
        "train",
        "fashion-reconstruction",
        "--out",
        "command",
        "--steps=5",
        "--no-baseline",
        "--seed=3",
    )
    other = zor.Network.load("command/model.zor").weights()
    for name, value in run.network().weights().items():
        assert (value == other[name]).all()


def test_resume():
    settings = dict(baseline=False, progress=False)
    whole = zor.train("fashion-reconstruction", steps=12, out="whole", **settings)

    def stop(metrics):
        if metrics["step"] == 4:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        zor.train("fashion-reconstruction", steps=12, out="parts", callback=stop, **settings)
    if sys.version_info >= (3, 11):
        assert "checkpoint" in caught.value.__notes__[0]
    run = zor.train(resume="parts", progress=False)
    for name, value in run.network().weights().items():
        assert (value == whole.network().weights()[name]).all()


def test_tables_of_every_kind():
    x = np.linspace(0, 1, 64)
    columns = {"a": x, "b": ["u", "v"] * 32, "y": 2 * x}
    settings = dict(target="y", steps=5, progress=False)
    first = zor.train("table", data=columns, **settings)
    with open("table.csv", "w") as file:
        file.write("a,b,y\n" + "".join(f"{a},{b},{y}\n" for a, b, y in zip(*columns.values())))
    assert zor.train("table", data="table.csv", **settings).metrics["mae"] == first.metrics["mae"]
    array = np.stack([x, 2 * x], axis=1)
    assert zor.train("detection", data=array, steps=5, progress=False).detector().cells == [
        "0",
        "1",
    ]


def test_frames():
    pandas = pytest.importorskip("pandas")
    x = np.linspace(0, 1, 64)
    frame = pandas.DataFrame({"a": x, "b": ["u", "v"] * 32, "y": 2 * x})
    assert zor.train("table", data=frame, target="y", steps=5, progress=False).metrics["steps"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(task="nothing"), "unknown task 'nothing'"),
        (dict(task="fashion-reconstruction", stepz=3), "did you mean 'steps'"),
        (dict(task="fashion-reconstruction", steps="many"), "steps"),
        (dict(task="fashion-reconstruction", augmentation_shif=3), "shif"),
        (dict(task="detection"), "data"),
        (dict(), "task"),
        (dict(resume="nowhere"), "nowhere"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises((zor.Error, OSError), match=message):
        zor.train(progress=False, **arguments)
    assert not os.path.exists("runs/fashion-reconstruction")


def test_a_run_is_never_overwritten():
    settings = dict(steps=2, baseline=False, progress=False, out="run")
    zor.train("fashion-reconstruction", **settings)
    with pytest.raises(zor.Error, match="run"):
        zor.train("fashion-reconstruction", **settings)
    zor.train("fashion-reconstruction", overwrite=True, **settings)


def test_all_tasks_have_names():
    assert {"detection", "table", "fashion-reconstruction"} <= zor.task_names().keys()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "zor", *arguments], capture_output=True, text=True, timeout=120
    )


def test_the_command():
    found = command("tasks")
    assert found.returncode == 0 and "fashion-reconstruction" in found.stdout
    assert command("--version").stdout.startswith("zor ")
    wrong = command("train", "nothing")
    assert wrong.returncode == 2 and "unknown task" in wrong.stderr
    assert command("info", "missing.zor").returncode == 2


def test_progress_is_shown(capsys):
    zor.train("fashion-reconstruction", steps=3, baseline=False, progress=True)
    text = capsys.readouterr().err
    assert "3 steps, training on 10 images" in text and "3" in text


def test_a_stop_during_the_calibration_is_resumed():
    array = np.random.default_rng(0).random((64, 2))

    def stop(metrics):
        if metrics["step"] == 20:
            raise RuntimeError("enough")

    settings = dict(steps=20, progress=False)
    with pytest.raises(RuntimeError, match="enough"):
        zor.train("detection", data=array, out="run", callback=stop, **settings)
    assert not os.path.exists("run/model.zor")
    resumed = zor.train(resume="run", progress=False).detector()
    whole = zor.train("detection", data=array, **settings).detector()
    assert (resumed.score(array).scores == whole.score(array).scores).all()
