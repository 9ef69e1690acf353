"""Objects show themselves: in one line whatever their size, and in a notebook as tables with pictures."""

import base64
import dataclasses
import re

import made_results as made
import matplotlib.image
import numpy as np
import pytest

from ptycho._showing import html, pictures
from ptycho._showing.one_line import OneLine, shortened
from ptycho.comparison import Failure
from ptycho.data import ScanData, ScanGeometry

HOSTILE = "<script>alert('x')</script>\n&amp;\"" + "z" * 500


class Tags(list):
    """The tags of a piece of HTML, which must be closed in order."""

    def __init__(self, text):
        super().__init__(re.findall(r"<(/?[a-z0-9]+)", text))
        waiting = []
        for tag in self:
            if tag.startswith("/"):
                assert waiting.pop() == tag[1:]
            elif tag not in ("img", "polyline", "circle", "rect"):
                waiting.append(tag)
        assert waiting == []


def scan(n_frames=5, **changes):
    amplitude = np.broadcast_to(np.float32(1.5), (n_frames, 16, 16))
    positions_yx = np.stack([20 + np.arange(n_frames) % 7, 30 + np.arange(n_frames) // 7], axis=1)
    return ScanData(amplitude=amplitude, positions_yx=positions_yx, probe=np.ones((16, 16)), **changes)


def comparison(*labels, **changes):
    arm = made.model_arm(seed=4)
    return made.comparison(*(dataclasses.replace(arm, label=label) for label in labels), **changes)


@pytest.fixture
def everything():
    result = comparison("PtychoPINN", HOSTILE, *"abcdefghijklmnop", failures=[Failure(HOSTILE, HOSTILE)] * 3)
    arm = result.arms[0]
    return [
        result,
        scan(),
        arm,
        *(getattr(arm, each.name) for each in dataclasses.fields(arm)),
        arm.metrics.frc,
    ]


def test_the_line_of_a_result_is_short_whatever_is_in_it(everything):
    shown = [repr(each) for each in everything if dataclasses.is_dataclass(each)]
    assert len(shown) > 8
    for line in shown:
        assert "\n" not in line
        assert len(line) <= 240


def test_the_line_of_a_comparison_names_arms_figures_and_failures():
    result = comparison("PtychoPINN", "b", "c", "d", "e", failures=[Failure("ePIE", "why")])
    assert repr(result) == (
        "ComparisonResult(PtychoPINN (SSIM 3.125 / 103.000), b (SSIM 3.125 / 103.000), c (SSIM 3.125 / 103.000), "
        "2 more on 100 frames, 40×56 px; failed: ePIE)"
    )
    assert repr(made.comparison(truth=False)) == "ComparisonResult(no arm on 100 frames, 40×56 px)"


def test_the_line_of_a_scan_says_what_is_there():
    assert repr(scan()) == "ScanData(5 frames of 16×16 px)"
    mask = np.ones((16, 16), bool)
    mask[3, 5] = False
    full = scan(
        object_guess=np.ones((60, 70)),
        scan_index=np.array([0, 0, 1, 1, 4]),
        mask=np.ones((16, 16), bool),
        geometry=ScanGeometry(object_pixel_m=6.25e-9),
    ).with_mask(mask)
    assert repr(full) == (
        "ScanData(5 frames of 16×16 px, 60×70 px object, 3 scans, 1 masked pixels a frame, 6.25 nm pixel of the object)"
    )


def test_the_line_of_metrics_has_a_dash_for_what_is_not_there():
    metrics = dataclasses.replace(made.metrics(amplitude=0.5, phase=1.0), frc50=made.ChannelPair(None, 0.25))
    assert repr(metrics) == (
        "ImageMetrics(amplitude / phase: SSIM 3.500 / 4.000, PSNR 2.5 / 3.0, MAE 0.5 / 1, FRC50 – / 0.25; standard, "
        "31×56 px)"
    )


def test_arrays_stand_as_shape_and_type_and_long_things_by_their_number():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Held(OneLine):
        values: np.ndarray
        many: tuple[int, ...]
        text: str

    shown = repr(Held(np.zeros((3, 4), np.float32), tuple(range(9)), "a\nb" * 40))
    assert shown.startswith("Held(values=(3, 4) float32, many=(9 entries), text='a\\nb")
    assert shown.endswith("…)")
    assert shortened("a\x1b[2J\u202eb", 40) == r"a\x1b[2J\u202eb"


def test_a_notebook_shows_text_from_files_and_never_runs_it():
    result = comparison(HOSTILE, failures=[Failure(HOSTILE, HOSTILE)])
    text = result._repr_html_()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\n&" not in text
    Tags(text)


def test_a_comparison_has_a_row_an_arm_with_two_pictures_and_the_truth_last():
    text = comparison("PtychoPINN", "Baseline")._repr_html_()
    assert re.findall(r'alt="([^"]*)"', text) == [
        f"{channel} of {label}"
        for label in ("PtychoPINN", "Baseline", "Ground truth")
        for channel in ("amplitude", "phase")
    ]
    assert "3.125 / 103.000" in text
    assert made.verdict().diagnosis in text
    blind = made.comparison(made.model_arm(metrics=None), truth=False)._repr_html_()
    assert blind.count("<img") == 2


def test_many_arms_and_large_images_make_no_large_table():
    result = comparison(*map(str, range(30)))
    text = result._repr_html_()
    assert text.count("<img") == 2 * 13
    assert "18 more arms are not shown" in text
    assert len(text) < 500_000


def test_a_picture_shows_the_values_between_its_limits_and_leaves_out_what_is_none():
    image = np.array([[0.0, 0.5, np.nan], [1.0, -3.0, 9.0]])
    source = pictures.png_source(image, (0.0, 1.0), pictures.GREY)
    import io

    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    np.testing.assert_allclose(pixels[..., 0], [[0, 0.5, 0], [1, 0, 1]], atol=0.01)
    np.testing.assert_array_equal(pixels[..., 3], [[1, 1, 0], [1, 1, 1]])
    assert pictures.limits_of([image[:1]], (0.0, 100.0)) == (0.0, 0.5)
    assert pictures.limits_of([np.full((2, 2), np.nan)]) == (-0.5, 0.5)


def test_a_large_scan_is_shown_of_a_few_frames():
    class Counted(np.ndarray):
        largest = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            Counted.largest = max(Counted.largest, getattr(found, "size", 1))
            return found

    large = scan(n_frames=100_000)
    object.__setattr__(large, "amplitude", large.amplitude.view(Counted))
    text = large._repr_html_()
    assert 0 < Counted.largest <= 64 * 16 * 16
    assert text.count(",", text.index('points="'), text.index('" fill="none"')) <= 1000
    assert "100,000 frames of 16×16 px" in text
    Tags(text)


def test_metrics_show_what_was_scored_beside_the_truth():
    text = made.metrics(amplitude=0.125, phase=2.0)._repr_html_()
    assert text.count("<img") == 5
    assert "2 rad" in text
    assert "MS-SSIM uses 2 of 5 scales." in text
    Tags(text)


def test_markup_is_kept_and_all_else_escaped():
    assert html.escaped("a<b") == "a&lt;b"
    assert html.escaped(html.Markup("<b>")) == "<b>"
    assert html.escaped(None) == "–"
    assert html.sentences([]) is None
