"""comparison_report.html without a browser: what is in it, what is escaped, what it may load."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import made_results as made
import pytest
import saved_runs

from ptycho.errors import DataError
from ptycho.report import write_page
from ptycho.report.names import PAGE_FILE


class Page(HTMLParser):
    """Elements, texts, attributes and the contents of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.scripts = [], [], {}
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs).get("id", len(self.scripts))
            self.scripts[self._script] = ""

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] += data
        else:
            self.texts.append(data)

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None

    def words(self):
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def _page(folder):
    return Page(write_page(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved_runs.write(tmp_path_factory.mktemp("run") / "out", saved_runs.two_arms())


@pytest.fixture(scope="module")
def page(folder):
    return _page(folder)


def test_it_lies_beside_the_other_outputs(folder, page):
    assert (folder / PAGE_FILE).is_file()
    assert page.elements


def test_the_verdict_comes_before_images_and_metrics(page):
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == ["verdict", "images", "metrics", "curves", "course", "placement", "reproduce"]
    assert "Amplitude: PtychoPINN is better in 6 of 6 figures against the truth." in page.words()


def test_everything_that_a_reader_asks_for_is_there(page):
    words = page.words()
    for expected in (
        "100 frames, a window of 40 × 56 px of 6.25 nm",
        "2026-03-04 05:06",
        "5000 bytes hold 64 items",
        "PtychoPINN ran out of memory once and went on with batches of 32",
        "2 patches were not finite",
        "+0.250, -1.500",
        "+1.56, -9.38",
        "5c" * 32,
        "(first and last MiB)",
        "The whole run took 12.5 s",
        "When not to trust it:",
    ):
        assert expected in words


@pytest.mark.spec("CM-9.11")
def test_it_loads_nothing(page):
    assert page.attributes("src") == []
    outside = [href for href in page.attributes("href") if not re.fullmatch(r"#[\w-]+|data:,|[\w.]+", href)]
    assert {href.split("/")[2] for href in outside} == {"doi.org"}
    styles = "".join(page.texts)
    assert "@import" not in styles
    assert "url(" not in styles


@pytest.mark.spec("CM-9.11")
def test_no_script_but_its_own_may_run(page):
    (policy,) = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    allowed = set(re.findall("'sha256-([^']+)'", policy))
    programs = [
        text
        for (_, attributes), text in zip(
            [each for each in page.elements if each[0] == "script"], page.scripts.values(), strict=True
        )
        if "type" not in attributes
    ]
    assert len(programs) == 4
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in programs} == allowed


@pytest.mark.spec("CM-9.11")
def test_words_of_files_are_shown_and_nowhere_become_markup(tmp_path, page):
    hostile = _page(saved_runs.write(tmp_path, saved_runs.hostile()))
    shown = " ".join(saved_runs.HOSTILE.split())
    words = hostile.words()
    assert f"taken: {shown}" in words
    assert f"why: {shown}" in words
    assert f"/data/{shown}.npz" in words
    tags = [tag for tag, _ in hostile.elements]
    assert (
        tags.count("script") - len([name for name in hostile.scripts if str(name).startswith("layer-")]) == 5
    )
    data = json.loads(hostile.scripts["data"])
    assert data["images"][0]["label"] == saved_runs.HOSTILE
    assert [name for name in hostile.attributes("aria-label") if saved_runs.HOSTILE in name]


def test_the_embedded_data_cannot_end_their_element(tmp_path):
    text = write_page(saved_runs.write(tmp_path, saved_runs.hostile())).read_text(encoding="utf-8")
    start = text.index('<script type="application/json" id="data">') + len(
        '<script type="application/json" id="data">'
    )
    inside = text[start : text.index("</script>", start)]
    assert json.loads(inside)["shape"] == [40, 56]
    assert not set("<>&") & set(inside)


def test_half_a_surrogate_pair_in_a_label_is_shown_escaped(tmp_path):
    saved_runs.write(tmp_path, saved_runs.two_arms())
    saved_runs.edit_report(tmp_path, lambda values: values["arms"][0].update(label="x\ud800"))
    assert "x\\ud800" in _page(tmp_path).words()


def test_without_arrays_it_says_so_and_shows_the_rest(tmp_path):
    saved_runs.write(tmp_path, saved_runs.two_arms())
    for name in ("reconstructions.npz", "reconstructions_aligned.npz"):
        (tmp_path / name).unlink()
    page = _page(tmp_path)
    assert "so there are no images" in page.words()
    assert json.loads(page.scripts["data"])["images"] == []


def test_without_a_truth_no_arm_is_called_right(tmp_path):
    arms = [made.model_arm(metrics=None), made.finished_arm(metrics=None)]
    words = _page(saved_runs.write(tmp_path, made.comparison(*arms, truth=False))).words()
    assert "There is no truth: no figure here says how right an image is" in words
    assert "against the truth" not in words


def test_a_run_of_which_every_arm_failed_has_a_page(tmp_path):
    from ptycho.comparison import Failure

    result = made.comparison(failures=[Failure("PtychoPINN", "out of memory")])
    words = _page(saved_runs.write(tmp_path, result)).words()
    assert "No arm has an image" in words
    assert "PtychoPINN failed: out of memory" in words


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run_report.json", "{", "is no JSON"),
        ("run_report.json", "[1]", "holds a JSON list"),
        ("run_report.json", '{"schema_version": 99}', "schema version 99 but 1 can be read"),
        ("run_report.json", '{"schema_version": 1}', "a window of 0 x 0 px"),
        ("comparison_metrics.csv", "a,b\n", "has the columns a,b but must have model,metric"),
        ("comparison_metrics.csv", "model,metric,amplitude,phase,value\nx,y\n", "2 cells in line 2"),
        ("reconstructions_aligned.npz", "no archive", "is not an NPZ archive"),
    ],
)
def test_a_damaged_file_is_named_and_costs_no_earlier_page(tmp_path, name, content, said):
    saved_runs.write(tmp_path, saved_runs.two_arms())
    (tmp_path / PAGE_FILE).write_text("earlier")
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(said)):
        write_page(tmp_path)
    assert (tmp_path / PAGE_FILE).read_text() == "earlier"


def test_a_folder_without_a_report_is_told_what_to_name(tmp_path):
    with pytest.raises(DataError, match=r"holds no run_report\.json; name the output folder"):
        write_page(tmp_path)
    with pytest.raises(FileNotFoundError):
        write_page(tmp_path / "nowhere")


def test_a_prefix_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    folder = saved_runs.write(tmp_path / "out", saved_runs.two_arms())
    (tmp_path / "x_frc_curves.csv").write_text("not a table")
    saved_runs.edit_report(folder, lambda values: values["arms"][0].update(file_prefix="../x"))
    assert "ePIE" in _page(folder).words()


def test_values_of_the_wrong_kind_are_not_there(tmp_path):
    def spoil(values):
        values["arms"][0]["prediction"] = {
            "attempts": [3, {"seconds": "long", "batch_size": True}],
            "n_oom": [],
        }
        values["arms"][0]["registration"] = {"offset_yx_px": [1, "x"], "plausible": "yes"}
        values["run"]["command"] = {"a": 1}
        values["settings"]["crop_size"] = [[1]]

    folder = saved_runs.write(tmp_path, saved_runs.two_arms())
    saved_runs.edit_report(folder, spoil)
    assert "The comparison was called from Python" in _page(folder).words()
