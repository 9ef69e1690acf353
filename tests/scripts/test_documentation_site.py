"""The hooks of mkdocs.yml that need no mkdocs: the order of pages, links between them, code as it is shown."""

from types import SimpleNamespace

from scripts.documentation_site import laid_out, on_page_content, on_page_markdown


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


def test_an_escaped_pipe_is_a_pipe_in_the_code_of_a_table_alone():
    cell = r"<td><strong><code>auto\|N</code></strong> a\b, <code>--model pinn\|baseline</code></td>"
    plain = r"<td><strong><code>auto|N</code></strong> a\b, <code>--model pinn|baseline</code></td>"
    outside = r"<p><code>grep 'a\|b'</code></p>"
    assert on_page_content(outside + cell + outside) == outside + plain + outside


def test_a_block_with_columns_tells_how_wide_they_are():
    def block(lines):
        return f'<div class="highlight"><pre><span></span><code>{lines}</code></pre></div>'

    prose = block("$ a <span>command</span> as long as you like\n  or two")
    # Entities and tags take no columns, and a line without columns may wrap.
    table = block('<span class="n">a</span> &lt; b   c\none long line that may wrap wherever it likes to\n')
    shown = on_page_content(prose + table)
    assert shown == prose + table.replace("highlight", 'highlight aligned" style="--columns: 9', 1)
    assert "--columns: 13" in on_page_content(block("└─► stitching"))
