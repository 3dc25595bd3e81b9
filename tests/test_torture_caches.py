"""Every damaged cache file of the torture set is refused in one sentence, and no code in it runs."""

import hashlib
import json
import time
import tracemalloc

import numpy as np
import pytest

from vidbench.data.cache import read_array, remove_debris
from vidbench.records import CacheError

pytestmark = pytest.mark.shared
OK, REFUSED = "ok", "refused-with-clear-error"


@pytest.fixture(scope="module")
def caches(torture):
    return torture("caches")


def outcome(path, side) -> str:
    """What reading gives: the manifest's words, or an exception of another kind that fails the test."""
    try:
        array = read_array(path, side)
    except CacheError as problem:
        return REFUSED if str(problem).isprintable() and len(str(problem)) < 400 else f"unclear: {problem!r}"
    assert array.dtype == np.uint8
    return OK


def test_every_array_behaves_as_expected(caches):
    folder, items = caches
    good = folder / "caches" / "good.npy"
    side = {"schema": 1, "sha256": hashlib.sha256(good.read_bytes()).hexdigest(), "shape": [16, 32, 32, 3]}
    arrays = [item for item in items if item["group"] in ("caches.good", "caches.bad") or "future" in item["path"]]
    assert len(arrays) > 25
    wrong = {}
    for item in arrays:
        start = time.monotonic()
        got = outcome(folder / item["path"], side)
        assert time.monotonic() - start < 5, item["path"]
        if got not in item["expect"]:
            wrong[item["path"]] = got
    assert not wrong
    assert not list((folder / "MARKERS").glob("*")), "code from a cache file ran"


def test_damage_is_found_without_a_side_file_except_where_only_a_checksum_can(caches):
    folder, items = caches
    for item in items:
        if item["group"] != "caches.bad":
            continue
        got = outcome(folder / item["path"], None)
        only_by_checksum = item.get("truth", {}).get("sha_differs")
        assert got == (OK if only_by_checksum else REFUSED), item["path"]


def test_every_side_file_behaves_as_expected(caches):
    folder, items = caches
    sides = [item for item in items if item["group"] == "caches.side"]
    assert len(sides) >= 6
    for item in sides:
        got = outcome(folder / "caches" / item["array"], folder / item["path"])
        assert got in item["expect"], item["path"]


def test_the_good_file_holds_the_pixels_it_should(caches):
    folder, _ = caches
    expected = (np.arange(16 * 32 * 32 * 3) % 251).astype(np.uint8).reshape(16, 32, 32, 3)
    assert (read_array(folder / "caches" / "good.npy") == expected).all()


def test_absurd_sizes_cost_no_memory(caches):
    folder, _ = caches
    tracemalloc.start()
    for name in ("shape_2e62", "shape_overflow", "shape_100gb", "header_len_4g", "header_deep"):
        assert outcome(folder / "caches" / f"{name}.npy", None) == REFUSED
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


def test_debris_is_cleared_when_old_and_a_lock_is_not_waited_for(caches, tmp_path):
    folder, _ = caches
    for name in (".clip.npy.tmp.99999.deadbeef", "clip.npy.lock"):
        (tmp_path / name).write_bytes((folder / "caches" / name).read_bytes())
    assert remove_debris(tmp_path) == 0
    assert remove_debris(tmp_path, older_than_s=-1) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npy.lock"]


def test_the_manifest_lists_what_these_tests_cover(caches):
    folder, items = caches
    groups = {item["group"] for item in items}
    assert groups == {"caches.good", "caches.bad", "caches.side", "caches.debris"}
    assert json.loads((folder / "manifest.json").read_text())["items"]
