"""`ptycho-simulate` from the outside: the scan it writes, and what it refuses."""

import numpy as np
import pytest

from ptycho import data
from ptycho.cli import simulate as command
from ptycho.data import read_npz, simulation

SMALL = ("--patch-size", "16", "--object-size", "40", "56", "--n-positions", "7")


def _main(path, *flags):
    return command.main([str(word) for word in (path, *flags)])


def test_the_same_seed_makes_the_same_scan(tmp_path, capsys):
    for name in ("a.npz", "b.npz"):
        assert _main(tmp_path / name, *SMALL, "--seed", 3) == 0
    scans = [read_npz(tmp_path / name) for name in ("a.npz", "b.npz")]
    np.testing.assert_array_equal(scans[0].amplitude, scans[1].amplitude)
    assert scans[0].amplitude.shape == (7, 16, 16)
    assert scans[0].object_guess.shape == (40, 56)
    assert "a.npz: 7 frames of 16x16 pixels" in capsys.readouterr().out


def test_object_and_probe_can_be_those_of_another_scan(tmp_path):
    assert _main(tmp_path / "first.npz", *SMALL, "--seed", 3) == 0
    files = ("--object-file", tmp_path / "first.npz", "--probe-file", tmp_path / "first.npz")
    assert _main(tmp_path / "second.npz", *SMALL, "--seed", 9, *files) == 0
    first, second = read_npz(tmp_path / "first.npz"), read_npz(tmp_path / "second.npz")
    np.testing.assert_array_equal(first.object_guess, second.object_guess)
    ratio = second.probe[first.probe != 0] / first.probe[first.probe != 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--photons", "-5"), "'-5' is not a number above 0"),
        (("--n-positions", "0"), "'0' is not a whole number of at least 1"),
        (("--n-lines", "-1"), "'-1' is not a whole number of at least 1"),
        (("--jitter", "-1"), "'-1' is not a number of at least 0"),
        (("--blur", "-1"), "'-1' is not a number of at least 0"),
        (("--defocus", "nan"), "'nan' is not a finite number"),
        (("--seed", "x"), "'x' is not a whole number from 0"),
    ],
)
def test_numbers_out_of_range_are_refused_by_the_parser(tmp_path, capsys, flags, words):
    with pytest.raises(SystemExit) as caught:
        _main(tmp_path / "out.npz", *flags)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--object-size", "20", "20"), "leaves no room for patches of 64"),
        (("--aperture", "9"), "aperture is 9.0 but must be a finite number above 0 and of at most 1"),
        (("--object-file", "nowhere.npz"), "nowhere.npz: No such file"),
    ],
)
def test_what_cannot_be_simulated_is_exit_code_2(tmp_path, capsys, flags, words):
    assert _main(tmp_path / "out.npz", *flags) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_object_file_without_an_object_is_said_to_have_none(tmp_path, capsys):
    assert _main(tmp_path / "first.npz", *SMALL) == 0
    with np.load(tmp_path / "first.npz") as archive:
        arrays = {key: archive[key] for key in archive if key != "objectGuess"}
    np.savez(tmp_path / "blind.npz", **arrays)
    assert _main(tmp_path / "out.npz", *SMALL, "--object-file", tmp_path / "blind.npz") == 2
    assert "blind.npz has no objectGuess" in capsys.readouterr().err


def test_ctrl_c_while_writing_leaves_no_half_file(tmp_path, monkeypatch, capsys):
    def interrupted(file, members):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("ptycho.data.npz.write_archive", interrupted)
    assert _main(tmp_path / "out.npz", *SMALL) == 130
    assert "before anything was finished" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_defaults_are_those_of_the_settings(tmp_path, monkeypatch):
    # --help may not import NumPy, so the parser cannot take them from there.
    asked = []
    original = data.simulate

    def asking(settings, **given):
        asked.append(settings)
        return original(simulation.SimulationSettings(object_shape_yx=(90, 100), n_positions=2), **given)

    monkeypatch.setattr(data, "simulate", asking)
    assert _main(tmp_path / "out.npz") == 0
    assert asked == [simulation.SimulationSettings()]
