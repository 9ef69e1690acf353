"""Large files are refused, the demo's networks are not."""

from markdown_pages import ROOT

from scripts.check_file_sizes import LARGEST_BYTES, main


def test_a_file_one_byte_too_large_is_refused(tmp_path, capsys):
    (tmp_path / "large.npz").write_bytes(bytes(LARGEST_BYTES + 1))
    (tmp_path / "right.npz").write_bytes(bytes(LARGEST_BYTES))
    files = [str(tmp_path / name) for name in ("right.npz", "large.npz", "gone.npz")]
    assert main(files) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "large.npz has 2,097,153 bytes but" in out


def test_the_repository_holds_no_large_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    folders = [ROOT / name for name in ("autobatch", "docs", "plans", "ptycho", "scripts", "specs", "tests")]
    files = [path.relative_to(ROOT).as_posix() for folder in folders for path in folder.rglob("*")]
    assert "ptycho/__init__.py" in files
    assert main(files) == 0
