"""The pictures of images/ are those that the script draws, and whoever uses one says what it shows."""

from __future__ import annotations

import html
import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "images"
USED = re.compile(r"!\[([^\]]*)\]\(([^)\s]*images/[^)\s]+)\)")


def load_script():
    spec = importlib.util.spec_from_file_location("make_images", ROOT / "scripts" / "make_images.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_images = load_script()


def listed() -> dict[str, str]:
    """File → description, as images/README.md has it."""
    lines = (IMAGES / "README.md").read_text(encoding="utf-8").splitlines()
    return dict(re.fullmatch(r"\* `([^`]+)`: (.+)", line).groups() for line in lines if line.startswith("* "))


def blurred(data: bytes) -> np.ndarray:
    """A picture at a quarter of its size, so that another release of a font or encoder makes no difference."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((image.width // 4, image.height // 4), Image.Resampling.BOX), int)


def difference(one: bytes, other: bytes) -> float:
    """The share of a picture that differs clearly; 1 where even the sizes do."""
    first, second = blurred(one), blurred(other)
    if first.shape != second.shape:
        return 1.0
    return float((np.abs(first - second).max(-1) > 40).mean())


@pytest.mark.parametrize("name", make_images.DRAWINGS)
def test_drawn_again_a_picture_is_the_same(name):
    file, data, alt = make_images.draw(name)
    assert difference(data, (IMAGES / file).read_bytes()) < 0.01
    assert listed()[file] == alt


def test_the_comparison_sees_another_picture():
    views, order = ((IMAGES / file).read_bytes() for file in ("views.jpg", "order.jpg"))
    assert difference(views, order) == 1.0
    turned, buffer = Image.open(IMAGES / "order.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT), io.BytesIO()
    turned.save(buffer, "PNG")
    assert difference(buffer.getvalue(), order) > 0.1


def test_a_picture_is_the_same_bytes_each_time():
    assert make_images.draw("views") == make_images.draw("views")


def test_every_picture_has_a_maker_and_every_maker_its_picture():
    drawn = {path.name for path in IMAGES.iterdir()} - {"README.md"} - set(make_images.ELSEWHERE)
    assert {Path(file).stem for file in drawn} == set(make_images.DRAWINGS)
    assert len(drawn) == len(make_images.DRAWINGS)
    assert set(listed()) == drawn | set(make_images.ELSEWHERE)


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.*g")), ids=lambda path: path.name)
def test_a_picture_is_small_and_light(path):
    if path.name not in make_images.ELSEWHERE:
        assert path.stat().st_size < 100_000
        edges = np.asarray(Image.open(path).convert("L"))[[0, -1]]
        assert (edges > 200).mean() > 0.05  # a light ground, on which a dark page shows it too


def pages() -> list[tuple[str, str]]:
    """Place and Markdown of every page of the project: Markdown files and the text cells of notebooks."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "*.md", "*.ipynb"]
    files = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    found = []
    for path in (ROOT / name for name in files if name and (ROOT / name).is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        found.append((str(path.relative_to(ROOT)), text))
    return found


def test_whoever_uses_a_picture_says_what_it_shows():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    uses = [(place, *found) for place, text in pages() for found in USED.findall(text)]
    assert any(place == "README.md" for place, _, _ in uses)
    for place, alt, target in uses:
        assert len(alt.split()) >= 3, f"{place}: {target} needs words"
        if "://" not in target:
            assert (ROOT / place).parent.joinpath(target).is_file(), f"{place}: {target} is not there"
    for place, text in pages():
        for image in re.findall(r"<img[^>]*images/[^>]*>", text):
            assert len(html.unescape(image).split('alt="')[-1].split('"')[0].split()) >= 3, f"{place}: {image}"


def test_drawing_one_keeps_the_others_descriptions(tmp_path, monkeypatch):
    monkeypatch.setattr(make_images, "IMAGES", tmp_path)
    (tmp_path / "README.md").write_text("* `views.jpg`: Kept.\n* `gop.png`: Old.\n", encoding="utf-8")
    assert make_images.main(["gop"]) == 0
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "* `views.jpg`: Kept." in text
    assert "Old." not in text
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "gop.png"}


def test_an_unknown_name_is_refused_with_the_known_ones():
    command = [sys.executable, str(ROOT / "scripts" / "make_images.py"), "vews"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "no drawing is called vews; known: task," in done.stderr
