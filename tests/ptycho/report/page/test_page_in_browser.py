"""comparison_report.html in Chromium: opened from disk, read by mouse and keyboard."""

import re

import browser
import made_results as made
import numpy as np
import pytest
import saved_runs

from ptycho.report import write_page, write_training_page
from ptycho.report.page._layers import read_images
from ptycho.report.page._page import page_of
from ptycho.report.page._saved import read_run


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = saved_runs.write(tmp_path_factory.mktemp("run"), saved_runs.two_arms())
    write_page(folder)
    return folder


@pytest.fixture
def visit(chromium, folder):
    found = browser.Visit(chromium, folder / "comparison_report.html")
    yield found
    found.close()


def _at(page, number, row, column):
    """The screen's place of a pixel of an image that is shown as a whole."""
    box = page.locator(".panel .viewer").nth(number).bounding_box()
    height, width = made.WINDOW.shape_yx
    side = box["width"] / width
    top = box["y"] + (box["height"] - side * height) / 2
    return box["x"] + (column + 0.5) * side, top + (row + 0.5) * side


def _read(page, number, row, column):
    page.locator(".panel .viewer").nth(number).scroll_into_view_if_needed()
    page.mouse.move(*_at(page, number, row, column))
    page.wait_for_function("place => document.getElementById('readout').textContent.startsWith(place)",
                           arg=f"Row {row}, column {column} of")  # fmt: skip
    return page.locator("#readout").inner_text().splitlines()


def _show(page, view):
    page.locator(f"#tab-{view}").click()
    page.wait_for_selector(f"body[data-view={view}]")


def test_it_opens_without_a_request_an_error_or_a_message(visit, folder):
    _show(visit.page, "phase-error")
    assert visit.messages == []
    assert visit.requests == [(folder / "comparison_report.html").as_uri()]


def _scored(image, view, value, row, column):
    """What is shown of a value of the file: amplitudes on the truth's scale, phases without their plane."""
    if view == "amplitude":
        return image.amplitude_scale * value
    plane = image.plane
    return np.angle(np.exp(1j * (value - plane.offset - plane.slope_y * row - plane.slope_x * column)))


@pytest.mark.parametrize("view", ["amplitude", "phase"])
def test_the_value_under_the_cursor_is_that_of_the_file(visit, folder, view):
    with np.load(folder / "reconstructions_aligned.npz") as file:
        arrays = {name: file[f"{name}_{view}"] for name in ("ptychopinn", "epie", "ground_truth")}
    shown = read_images(read_run(folder)).images
    _show(visit.page, view)
    for row, column in ((3, 50), (20, 5)):
        lines = _read(visit.page, 1, row, column)
        assert lines[0].endswith(f"(object {row + 7}, {column + 11})")
        found = [re.search(r"in the file (\S+)", line)[1] for line in lines[1:]]
        assert [np.float32(text) for text in found] == [image[row, column] for image in arrays.values()]
        scored = [float(re.search(r": (\S+)", line)[1]) for line in lines[1:]]
        expected = [
            _scored(each, view, np.float32(text), row, column)
            for each, text in zip(shown, found, strict=True)
        ]
        assert scored == pytest.approx(expected, abs=1e-3)


def test_uncovered_pixels_have_no_value(visit):
    lines = _read(visit.page, 0, 37, 4)
    assert lines[1] == "PtychoPINN: not reconstructed"
    assert "in the file" in lines[2]


def test_the_error_under_the_cursor_is_arm_minus_truth(visit):
    def scored(view):
        _show(visit.page, view)
        return [
            float(line.split(": ")[1].split()[0])
            for line in _read(visit.page, 0, 9, 30)[1:]
            if "known" not in line
        ]

    arm, other, truth = scored("amplitude")
    assert scored("amplitude-error") == pytest.approx([arm - truth, other - truth], abs=2e-3)


def test_tabs_follow_the_arrow_keys(visit):
    page = visit.page
    page.locator("#tab-amplitude").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("body[data-view=phase]")
    assert page.evaluate("document.activeElement.id") == "tab-phase"
    assert page.locator("[role=tab][aria-selected=true]").count() == 1
    page.keyboard.press("End")
    page.wait_for_selector("body[data-view=misfit]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("body[data-view=amplitude]")


def test_the_wipe_follows_keyboard_and_mouse(visit):
    page, slider = visit.page, visit.page.locator("#wipe-position")
    place = "parseFloat(document.querySelector('.wipe-line').style.left)"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(place) == 51
    assert slider.get_attribute("aria-valuetext") == "51 % from the left"
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
    assert 15 < page.evaluate(place) < 25


def _colour(page, share_x):
    """The colour that the wipe shows at a share of its width, half-way down."""
    box = page.locator("#wipe").bounding_box()
    # A change is drawn in the next frame.
    for _ in range(3):
        page.evaluate("new Promise(done => requestAnimationFrame(done))")
    shot = page.screenshot(clip={"x": box["x"] + share_x * box["width"], "y": box["y"] + box["height"] / 2, "width": 1,
                                 "height": 1})  # fmt: skip
    from io import BytesIO

    from matplotlib.image import imread

    return tuple(np.round(imread(BytesIO(shot))[0, 0, :3], 2))


def test_either_side_of_the_line_has_its_image(visit):
    page = visit.page
    page.locator("#wipe").scroll_into_view_if_needed()
    page.locator("#wipe-left").select_option("PtychoPINN")
    page.locator("#wipe-right").select_option("ePIE")
    page.locator("#wipe-position").fill("100")
    left = _colour(page, 0.3), _colour(page, 0.7)
    page.locator("#wipe-position").fill("0")
    right = _colour(page, 0.3), _colour(page, 0.7)
    assert left[0] != right[0]
    assert left[1] != right[1]
    page.locator("#wipe-position").fill("50")
    assert (_colour(page, 0.3), _colour(page, 0.7)) == (left[0], right[1])


def test_all_images_zoom_and_move_together(visit):
    page = visit.page
    bars = "[...document.querySelectorAll('.panel .scale-bar i')]"
    bar = f"{bars}.map(bar => [bar.parentNode.textContent, bar.offsetWidth])"
    before = page.evaluate(bar)
    page.locator(".panel .openseadragon-canvas").nth(1).focus()
    for _ in range(8):
        page.keyboard.press("+")
    page.wait_for_function(f"before => JSON.stringify({bar}) !== JSON.stringify(before)", arg=before)
    after = page.evaluate(bar)
    assert len({tuple(each) for each in after}) == 1
    assert before[0][0].endswith(" nm")
    page.locator("#zoom-fit").click()
    # Where a viewer lies between two pixels, its height is rounded one way or the other.
    same = "(now, then) => now[0] === then[0] && Math.abs(now[1] - then[1]) <= 2"
    page.wait_for_function(
        f"before => {bar}.every((now, number) => ({same})(now, before[number]))", arg=before
    )


def test_a_figure_is_explained_on_focus_and_the_explanation_goes_with_escape(visit):
    page = visit.page
    page.locator(".term").first.focus()
    assert "When not to trust it" in page.locator("#tip").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium, folder, scheme):
    visit = browser.Visit(chromium, folder / "comparison_report.html", color_scheme=scheme)
    visit.page.locator("summary").last.click()
    found = browser.serious_violations(visit.page)
    visit.close()
    assert found == {}


def test_a_phone_needs_no_sideways_scrolling(chromium, folder):
    visit = browser.Visit(chromium, folder / "comparison_report.html", viewport={"width": 390, "height": 844})
    visit.page.evaluate(
        "document.querySelectorAll('th.figure').forEach(each => { each.textContent += ' and a long label'; })"
    )
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    visit.close()
    assert width <= 390


def test_the_page_of_a_training_opens_quietly_and_axe_finds_nothing_serious(chromium, tmp_path):
    page = write_training_page(saved_runs.training(tmp_path, command="ptycho-train " + "scan.npz " * 40))
    visit = browser.Visit(chromium, page, color_scheme="dark", viewport={"width": 390, "height": 844})
    visit.page.locator("summary").last.click()
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    drawn = visit.page.locator(".chart canvas").count()
    found, messages, requests = browser.serious_violations(visit.page), visit.messages, visit.requests
    visit.close()
    assert (found, messages, requests) == ({}, [], [page.as_uri()])
    assert drawn == 3
    assert width <= 390


def test_words_of_files_do_not_run(chromium, tmp_path):
    write_page(saved_runs.write(tmp_path, saved_runs.hostile()))
    visit = browser.Visit(chromium, tmp_path / "comparison_report.html")
    title, heading = visit.page.title(), visit.page.locator("h1").inner_text()
    options = visit.page.locator("#wipe-left option").all_inner_texts()
    messages = visit.messages
    visit.close()
    assert title.startswith("Comparison: </script>")
    assert heading.startswith(saved_runs.HOSTILE)
    assert options[0] == saved_runs.HOSTILE
    assert messages == []


def test_means_of_blocks_are_called_so(chromium, folder, tmp_path):
    run = read_run(folder)
    images = read_images(run, most_characters=6000)
    (tmp_path / "page.html").write_text(page_of(run, images), encoding="utf-8")
    visit = browser.Visit(chromium, tmp_path / "page.html")
    box = visit.page.locator(".panel .viewer").first.bounding_box()
    visit.page.locator(".panel .viewer").first.scroll_into_view_if_needed()
    visit.page.locator(".panel .viewer").first.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    visit.page.wait_for_function("document.getElementById('readout').textContent.startsWith('Mean of rows')")
    said = visit.page.locator("#readout").inner_text()
    visit.close()
    assert "block mean" in said
    assert "in the file" not in said
