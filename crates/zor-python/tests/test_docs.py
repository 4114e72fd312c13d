"""Every block of Python in the documentation runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import zor

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    page
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("crates/*/README.md")]
    if "```python" in page.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_blocks_run(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    for package in ("torch", "sklearn", "nir"):
        if re.search(rf"^(import|from) (zor\.)?{package}\b", text, re.MULTILINE):
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    # What the pages read, and the images that come with the package for those that do not.
    np.savez("model.npz", **{"1.weight": np.ones((784, 4)), "3.weight": np.ones((4, 784))})
    np.ones((1, 784), dtype="<f4").tofile("image.f32")
    sample = zor.data.fashion_mnist(sample=True)
    monkeypatch.setattr(zor.data, "fashion_mnist", lambda **_: sample)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, str(page), "exec"), names)


def test_the_readme_says_what_its_block_prints(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    said = re.search(r"^Both print `(.*)`", text, re.MULTILINE)
    assert said and capsys.readouterr().out == said[1] + "\n"


def test_the_pages_are_found():
    assert len(PAGES) >= 2
