"""The examples of docs/autobatch.md run, in order, as one program."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "autobatch.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert len(examples) == 3
    assert capsys.readouterr().out.endswith("[32, 32] 0\n")
    assert names["classes"].shape == (64,)
    assert names["run"].n_oom == 1
