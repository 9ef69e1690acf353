"""The hooks of mkdocs.yml that need no mkdocs: where pages find their place in the navigation."""

from types import SimpleNamespace

from scripts.documentation_site import laid_out, on_page_markdown


def test_a_pattern_stands_for_the_pages_named_nowhere_before():
    nav = [
        {"Start": "index.md"},
        {"How to": ["how-to/*.md"]},
        {"None": ["none/*.md"]},
        {"Rest": ["*.md", "z.md"]},
    ]
    pages = ["z.md", "b.md", "how-to/two.md", "index.md", "how-to/one.md", "a.md"]
    assert laid_out(nav, pages) == [
        {"Start": "index.md"},
        {"How to": ["how-to/one.md", "how-to/two.md"]},
        {"Rest": ["a.md", "b.md", "z.md"]},
    ]


def _moved(markdown, path, folder="docs"):
    file = SimpleNamespace(src_uri=path, src_dir=folder)
    return on_page_markdown(markdown, page=SimpleNamespace(file=file))


def test_links_between_folders_become_links_between_pages():
    text = "[a](../CHANGELOG.md) [b](metrics.md#x) `[c](../LICENSE)` [d](https://a.example/b.md) [e](../../README.md)"
    assert _moved(text, "formats.md") == text.replace("(../CHANGELOG.md)", "(CHANGELOG.md)")
    assert _moved("[c](../../LICENSE)", "api/data.md") == "[c](../LICENSE)"
    assert _moved("[c](../formats.md#scan-npz)", "api/data.md") == "[c](../formats.md#scan-npz)"


def test_a_list_right_under_a_paragraph_is_set_apart():
    assert (
        _moved("Text:\n- one\n- two\n  more\n- three\n", "metrics.md")
        == "Text:\n\n- one\n- two\n  more\n- three\n"
    )
