import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from records import make_result

from ablations.page.evidence import gather
from ablations.page.html import page, section, specialization
from ablations.page.labels import _ORDER, GLOSSARY, MARKS

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """What a page consists of; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def write(path: Path) -> str:
    evidence = gather(path)
    sections = [section(chapter, evidence.runs) for chapter in evidence.chapters]
    return page(evidence, sections, "today")


@pytest.fixture(scope="module")
def html(written) -> str:
    return write(written)


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    return Outline(html)


def test_tags_nest_and_ids_are_unique(outline):
    ids = Counter(outline.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []


def test_every_reference_within_the_page_has_its_target(html, outline):
    targets = [value for name in ("href",) for value in outline.values(name)]
    targets += re.findall(r"url\((#[^)]+)\)", html)
    assert targets
    assert {target for target in targets if target[1:] not in outline.values("id")} == set()
    for named in outline.values("aria-labelledby"):
        assert set(named.split()) <= set(outline.values("id"))


def test_the_page_asks_nothing_of_the_network(html, outline):
    for tag, name, value in outline.attributes:
        if name in {"src", "href", "srcset", "data", "action"}:
            assert value.startswith(("#", "data:")), (tag, value)
    assert "@import" not in html
    assert "url(http" not in html
    assert outline.tags["script"] == outline.tags["link"] == outline.tags["iframe"] == 0


def test_it_has_landmarks_one_title_and_no_skipped_heading(html, outline):
    for tag in ("header", "nav", "main", "footer", "h1"):
        assert outline.tags[tag] == 1
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", html)]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert 'lang="en"' in html


def test_how_far_towers_are_apart_is_told_by_arm(folder):
    folder.add(0.25, 0, colors=[0.7, 0.5])
    folder.add(0.25, 1, colors=[0.5, 0.6])
    folder.add(0.25, 0, arm="towers=merged", colors=[0.5, 0.53])
    folder.add(0.25, 0, arm="norm=none", status="diverged")
    (chapter,) = gather(folder.path).chapters
    told = specialization(chapter)
    assert told == "baseline 15.0 ± 7.1 (n = 2); towers=merged 3.0 (n = 1)"


def test_every_figure_is_there_with_its_words_and_its_table(html):
    figures = re.findall(r'<figure class="plot.*?</figure>', html, flags=re.S)
    # A forest and the gaps; points of 10 comparisons, and two curves where runs are known.
    assert len(figures) == 2 + 10 + 2 * 5
    for figure in figures:
        svgs = re.findall(r"<svg.*?</svg>", figure, flags=re.S)
        assert svgs
        for svg in svgs:
            assert 'role="img"' in svg
            assert re.search(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]+</desc>", svg)
            assert len(re.findall(r"<(?:path|use|text)\b", svg)) > 10
        assert "<td>" in figure


def test_colors_are_the_style_sheets(html):
    svg = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.S))
    assert re.findall(r"(?:fill|stroke): ?#", svg) == []
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    defined = set(re.findall(r"(--[\w-]+):", html))
    assert used <= defined


def test_every_mark_has_its_icon_and_its_color(html):
    for mark in _ORDER:
        assert f'<symbol id="i-{mark.key}"' in html
        assert re.search(rf"\.c-{mark.key}\b[^}}]*\{{ color: var", html)


def plain(html: str) -> str:
    """The page as a reader has it: one line, no tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@pytest.mark.parametrize(
    "text",
    [
        # The row: ours, points, the paper's figure, parts, top-5.
        "1.034× (other data)",
        "In points 0.0 The paper",
        "conv4 direction holds here 1.0",
        "top-5, secondary",
        "as expected",
        # The gate with its numbers and what would pass.
        "Gate: failed Learns : No arm is at chance, none diverged throughout. Trained out, failed "
        ": At twice the epochs the baseline's validation error changes by −27.3% [−48.0%, +1.6%] "
        "over 3 seeds; passes within ±5%.",
        # The plan and its looks.
        "Margin 1.017×: half of the paper's effect",
        "Looks planned 3, 5 and 8 pairs",
        "Looks taken Looked at 3 and 5 pairs; earlier study of the same claim on these data: old",
        "P(holds) 0.31 at Δ = 1.034×, 0.92 at 2Δ",
        "shared by 4 claims",
        # Warnings and confounds.
        "Not resolvable by this study: P(holds) is below 0.5 at 2Δ.",
        "on the edge of its grid.",
        "more pairs would decide at the present estimate.",
        "A second norm, never mentioned.",
        "Too few seeds for an ensemble.",
        # Arms, rates and where it all comes from.
        "norm=none; chosen: recipe.lr=0.01; validation top-1 error, % of each value: 0.005: 31,",
        "epochs to 25 % online training error",
        "Study small, version 2: cifar10_small recipe.epochs=10",
        "Commit of the rules 1d9c3ec28f",
        "Seeds pairs from 100; tuning and gate 1000 and 1001",
    ],
)
def test_what_a_reader_should_know_of_a_claim(html, text):
    assert text in plain(html)


def test_the_rule_of_each_label_and_the_glossary_are_there(html):
    text = plain(html)
    for mark in MARKS.values():
        assert mark.rule in text
    for _, meaning in GLOSSARY:
        assert meaning in text


def test_the_headline_counts_the_papers_claims_only(html):
    tally = re.search(r'<ul class="tally">.*?</ul>', html, flags=re.S)[0]
    assert re.findall(r"<b>(\d+)</b><span>(.*?)</span>", tally) == [
        ("2", "Holds here"),
        ("1", "Direction holds here"),
        ("1", "No effect here"),
        ("1", "Opposite here"),
        ("1", "Undecided"),
        ("1", "Not testable here"),
        ("1", "Incomplete"),
    ]


def test_text_from_files_is_escaped(folder):
    folder.add(0.3, 0, arm="<script>alert(1)</script>")
    html = write(folder.path)
    assert "<script" not in html
    Outline(html)


def test_studies_are_shown_side_by_side(study):
    values = {"": ([0.5, 0.502, 0.501], [0.4, 0.402, 0.401])}
    study.study(
        make_result("lrn_lowers_error", values, claims=1),
        name="tiny_imagenet",
        title="Tiny ImageNet",
        dataset="Tiny ImageNet-100",
    )
    study.add(0.3, 0, experiment="smoke")
    html = write(study.path)
    row = re.search(r'<th scope="row">LRN lowers error.*?</tr>', html, flags=re.S)[0]
    assert re.findall(r'<a href="(#[^"]+)"', row) == [
        "#small-lrn-lowers-error",
        "#tiny-imagenet-lrn-lowers-error",
    ]
    assert row.count("holds here") == 2
    assert "Runs that no study asked for" in html
    Outline(html)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

# Written into the page's title, where the browser's dump of the document shows it.
PROBE = """<script>
const errors = []; addEventListener("error", event => errors.push(event.message));
addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("figure svg, figure img")].filter(
    box => box.checkVisibility() && !(box.getBoundingClientRect().width > 20
      && box.getBoundingClientRect().height > 10));
  document.title = JSON.stringify({
    wide: document.documentElement.scrollWidth, window: innerWidth, empty: boxes.length,
    seen: [...document.querySelectorAll("figure svg")].filter(b => b.checkVisibility()).length,
    errors: errors });
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(html, width, tmp_path):
    # The frame gives the page its width: a window of Chromium is at least 500 pixels wide.
    inner = tmp_path / "page.html"
    inner.write_text(html.replace("<head>", "<head>" + PROBE))
    outer = tmp_path / "frame.html"
    outer.write_text(
        f"<iframe id=f src=page.html style='width:{width}px;height:900px;border:0'></iframe>"
        "<script>addEventListener('load', () => setTimeout(() => {"
        "document.body.dataset.found = document.getElementById('f').contentDocument.title"
        "}, 300))</script>"
    )
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            outer.as_uri(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    try:
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "CONSOLE" not in err, err
    found = re.search(r'data-found="(.*?)"', out)[1].replace("&quot;", '"')
    assert f'"wide":{width},"window":{width},"empty":0' in found, found
    assert '"errors":[]' in found
    assert int(re.search(r'"seen":(\d+)', found)[1]) == 22
    print(found, file=sys.stderr)
