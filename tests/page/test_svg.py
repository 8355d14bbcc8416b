import re
from xml.etree import ElementTree

from ablations.page.svg import COLOR, canvas, place, render, write


def draw() -> str:
    with canvas(300, 200) as figure:
        axes = place(figure, 40, 20, 240, 150)
        axes.plot([1, 2], [3.14159, 1], color=COLOR["with"], marker="o")
        axes.fill_between([1, 2], [0, 1], [2, 3], color=COLOR["without"], alpha=0.2)
        write(figure, 2, 10, "a < b: 1.2345")
        return render(figure, "key", "Title: 1.2345", "What is seen; and more")


def test_it_is_xml_with_title_and_description_first():
    root = ElementTree.fromstring(draw())
    title, description = root[0], root[1]
    assert (title.text, description.text) == ("Title: 1.2345", "What is seen; and more")
    assert root.attrib["aria-labelledby"] == "key-t key-d"
    assert root.attrib["viewBox"] == "0 0 300 200"


def test_text_stays_as_it_was_written():
    assert ">a &lt; b: 1.2345</text>" in draw()


def test_colors_become_variables_and_no_style_leaks_out():
    svg = draw()
    assert "var(--with)" in svg
    assert "var(--without)" in svg
    assert "<style" not in svg
    assert "font-family" not in svg
    assert not re.search(r"#[0-9a-f]{6}", svg)


def test_ids_have_the_prefix_and_are_used():
    svg = draw()
    ids = re.findall(r' id="([^"]+)"', svg)
    assert ids
    assert all(name.startswith("key-") for name in ids)


def test_the_same_figure_is_the_same_text():
    assert draw() == draw()
