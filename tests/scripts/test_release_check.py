"""What a release must hold, on distributions made here; `make release-check` does it on the real ones."""

import tarfile
import zipfile

import pytest

from scripts.release_check import (
    GapError,
    expected_in_source,
    expected_in_wheel,
    names_in_source,
    names_in_wheel,
    raise_if_missing,
)

TRACKED = [
    ".gitignore",
    "README.md",
    "tests/test_a.py",
    "ptycho/py.typed",
    "ptycho/demo/probe.npy",
    "autobatch/a.py",
]


def test_a_complete_wheel_passes_and_one_without_its_data_is_named(tmp_path, capsys):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("ptycho/py.typed", "autobatch/a.py", "some.dist-info/RECORD"):
            archive.writestr(name, "")
    with pytest.raises(
        GapError, match=r"some.whl lacks 1 of 3 files \(ptycho/demo/probe.npy\); name them in"
    ):
        raise_if_missing(wheel, expected_in_wheel(TRACKED), names_in_wheel(wheel))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("ptycho/demo/probe.npy", "")
    raise_if_missing(wheel, expected_in_wheel(TRACKED), names_in_wheel(wheel))
    assert "some.whl: all 3 files" in capsys.readouterr().out


def test_a_source_distribution_without_the_tests_is_named(tmp_path):
    for name in TRACKED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    source = tmp_path / "some-1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for name in ("README.md", "ptycho", "autobatch"):
            archive.add(tmp_path / name, f"some-1.0/{name}")
    with pytest.raises(GapError, match=r"lacks 1 of 5 files \(tests/test_a.py\)"):
        raise_if_missing(source, expected_in_source(TRACKED), names_in_source(source))
