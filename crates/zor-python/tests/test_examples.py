"""The examples run: notebooks as they are stored, scripts with few steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.packages

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# What each notebook imports beside NumPy and zor.
PACKAGES = {
    "rule_by_hand": ["matplotlib"],
    "ten_images": ["matplotlib"],
    "what_is_normal": ["matplotlib", "pandas"],
}

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebooks_are_found():
    assert [path.stem for path in NOTEBOOKS] == sorted(PACKAGES)


@notebooks
def test_notebooks_are_stored_without_outputs(path):
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, cell.id
            assert max(map(len, cell.source.splitlines())) <= 100, cell.id


# Packages of Jupyter warn about each other and about their event loop.
@pytest.mark.filterwarnings("default")
@notebooks
def test_notebooks_run(path, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for package in ["ipykernel", *PACKAGES[path.stem]]:
        pytest.importorskip(package)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    # Threads of NumPy that wait for each other are slow on a busy machine.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.output_type == "error"]
    assert not [out.text for out in outputs if "Warning" in out.get("text", "")]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert not list(tmp_path.iterdir())


def test_quickstart():
    assert script("quickstart").main(steps=100) > 0.85


@pytest.mark.filterwarnings("default")
def test_optuna_search():
    pytest.importorskip("optuna")
    assert script("optuna_search").main(trials=3) > 0.6


def test_nir_cost(capsys):
    pytest.importorskip("nir")
    script("nir_cost").main(steps=20)
    assert "reset by subtraction" in capsys.readouterr().out
