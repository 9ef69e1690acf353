"""What went into a network and what came out, as files."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from full_disks import disk_full_at

from ptycho.report.patch_dump import dumping

RNG = np.random.default_rng(4)
INPUTS = RNG.random((7, 6, 6, 2), np.float32)
CENTRES = RNG.uniform(-5, 90, (7, 2))
OUTPUTS = RNG.standard_normal((7, 6, 12), np.float32).view(np.complex64)


def _dump(folder):
    with dumping(folder) as dump:
        for batch in (slice(0, 3), slice(3, 7)):
            dump(INPUTS[batch], CENTRES[batch], OUTPUTS[batch])


def test_batches_become_one_archive_without_pickles(tmp_path):
    _dump(tmp_path / "new")
    with np.load(tmp_path / "new" / "patches.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"schema_version", "inputs", "offsets_yx", "outputs"}
        for name, expected in (("inputs", INPUTS), ("offsets_yx", CENTRES), ("outputs", OUTPUTS)):
            np.testing.assert_array_equal(arrays[name], expected)
            assert arrays[name].dtype == expected.dtype
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_statistics_are_those_of_the_whole_and_count_what_is_not_finite(tmp_path, monkeypatch):
    values = OUTPUTS.copy()
    values[2, 1, 1], values[5, 0, 0], values[6, 3, 3] = np.nan, np.inf, 0
    monkeypatch.setitem(globals(), "OUTPUTS", values)
    _dump(tmp_path)
    told = json.loads((tmp_path / "patches_statistics.json").read_text())["arrays"]
    modulus = np.abs(values[np.isfinite(values)]).astype(np.float64)
    assert told["outputs"]["mean"] == pytest.approx(modulus.mean())
    assert told["outputs"]["std"] == pytest.approx(modulus.std())
    assert (told["outputs"]["min"], told["outputs"]["max"]) == (0.0, pytest.approx(modulus.max()))
    assert (told["outputs"]["n_zero"], told["outputs"]["n_not_finite"]) == (1, 2)
    assert told["inputs"] == {
        "shape": [7, 6, 6, 2],
        "dtype": "float32",
        "min": pytest.approx(INPUTS.min()),
        "max": pytest.approx(INPUTS.max()),
        "mean": pytest.approx(INPUTS.mean(dtype=float)),
        "std": pytest.approx(INPUTS.std(dtype=float)),
        "n_zero": 0,
        "n_not_finite": 0,
    }
    assert told["offsets_yx"]["min"] == CENTRES.min()


def test_a_run_that_breaks_leaves_the_old_dump(tmp_path):
    _dump(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def break_off():
        with dumping(tmp_path) as dump:
            dump(INPUTS[:1], CENTRES[:1], OUTPUTS[:1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_full_disk_is_said_to_be_one(tmp_path):
    with pytest.raises(OSError, match="File too large") as caught, disk_full_at(500):
        _dump(tmp_path)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_dump_of_nothing_says_so(tmp_path):
    with dumping(tmp_path):
        pass
    assert json.loads((tmp_path / "patches_statistics.json").read_text())["arrays"] == {}


def test_every_member_and_figure_is_documented(tmp_path):
    _dump(tmp_path)
    text = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    described = text[text.index("### Dump of the baseline") : text.index("### `run_report.json`")]
    statistics = json.loads((tmp_path / "patches_statistics.json").read_text())
    with np.load(tmp_path / "patches.npz") as arrays:
        names = {*arrays.files, *statistics, *statistics["arrays"]["inputs"]}
    assert {name for name in names if f"`{name}`" not in described} == set()
