"""RESULTS.md and report.html."""

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from records import make_result

from ablations.reporting.evidence import gather
from ablations.reporting.html import page
from ablations.reporting.labels import GLOSSARY, ICONS, RULES
from ablations.reporting.markdown import escape, results

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
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def html(written) -> str:
    return page(gather(written))


@pytest.fixture(scope="module")
def outline(html) -> Outline:
    return Outline(html)


@pytest.fixture(scope="module")
def plain(html) -> str:
    """The page as a reader has it: one line, no tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@pytest.fixture(scope="module")
def markdown(written) -> str:
    return results(gather(written))


# The page


def test_ids_are_unique_and_references_have_their_targets(html, outline):
    ids = Counter(outline.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    targets = [*outline.values("href"), *re.findall(r"url\((#[^)]+)\)", html)]
    assert targets
    assert {target for target in targets if target[1:] not in ids} == set()
    for named in outline.values("aria-labelledby"):
        assert set(named.split()) <= ids.keys()


def test_the_page_requests_nothing_from_the_network(html, outline):
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


def test_every_figure_is_there_once_with_its_data(html):
    # Three scales of the forest and the gaps.
    assert html.count('<table class="strips">') == 3 + 1
    # Points of 10 comparisons, and two curves where runs are known.
    plots = re.findall(r'<figure class="plot">.*?</figure>', html, flags=re.DOTALL)
    assert len(plots) == 10 + 2 * 5
    for plot in plots:
        assert len(re.findall(r'<svg role="img" aria-label="[^"]+"', plot)) == 1
        assert "<td>" in plot


def test_colors_are_the_style_sheets(html):
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert re.findall(r"(?:fill|stroke): ?#", drawn) == []
    assert set(re.findall(r"var\((--[\w-]+)\)", html)) <= set(re.findall(r"(--[\w-]+):", html))
    for name in ICONS:
        assert f'<symbol id="i-{name}"' in html
        assert re.search(rf"\.c-{name}\b[^}}]*\{{ color: var", html)


def test_the_headline_counts_the_papers_claims_only(html):
    tally = re.search(r'<ul class="tally">.*?</ul>', html, flags=re.DOTALL)[0]
    assert re.findall(r"<b>(\d+)</b><span>(.*?)</span>", tally) == [
        ("2", "Holds here"),
        ("1", "Direction holds here"),
        ("1", "No effect here"),
        ("1", "Opposite here"),
        ("1", "Undecided"),
        ("1", "Not testable here"),
        ("1", "Incomplete"),
    ]


def test_studies_are_shown_side_by_side(study):
    values = {"": ([0.5, 0.502, 0.501], [0.4, 0.402, 0.401])}
    study.study(
        make_result("lrn_lowers_error", values, claims=1),
        name="tiny_imagenet",
        title="Tiny ImageNet",
        dataset="Tiny ImageNet-100",
    )
    study.add(0.3, 0, experiment="smoke")
    html = page(gather(study.path))
    row = re.search(r'<th scope="row">LRN lowers error.*?</tr>', html, flags=re.DOTALL)[0]
    assert re.findall(r'<a href="(#[^"]+)"', row) == [
        "#small-lrn-lowers-error",
        "#tiny-imagenet-lrn-lowers-error",
    ]
    assert row.count("holds here") == 2
    test_ids_are_unique_and_references_have_their_targets(html, Outline(html))


# Both

GATE = (
    "At twice the epochs the baseline's validation error changes by −27.3% [−48.0%, +1.6%] over 3 "
    "seeds; passes within ±5%."
)


@pytest.mark.parametrize(
    "text",
    [
        # Rows: the paper's figure, parts, top-5.
        "1.034× (other data)",
        "conv4",
        "top-5, secondary",
        "as expected",
        # The gate with its numbers, and what would pass.
        "No arm is at chance, none diverged throughout.",
        GATE,
        # The plan and its looks.
        "1.017×: half of the paper's effect",
        "3, 5 and 8 pairs",
        "Looked at 3 and 5 pairs; earlier study of the same claim on these data: old",
        "0.31 at Δ = 1.034×, 0.92 at 2Δ",
        "shared by 4 claims",
        # Warnings and confounds.
        "Not resolvable by this study: P(holds) is below 0.5 at 2Δ.",
        "on the edge of its grid.",
        "more pairs would decide at the present estimate.",
        "A second norm, never mentioned.",
        "oo few seeds for an ensemble",
        # Arms, rates and provenance.
        "norm=none; chosen: recipe.lr=0.01; validation top-1 error, % of each value: 0.005: 31,",
        "epochs to 25 % online training error",
        "small, version 2: cifar10_small recipe.epochs=10",
        "1d9c3ec28f",
        "pairs from 100; tuning and gate 1000 and 1001",
        *RULES.values(),
        *GLOSSARY.values(),
    ],
)
def test_both_have_what_a_reader_should_know(plain, markdown, text):
    assert text in plain
    assert text in markdown


def test_the_same_records_give_the_same_files(written):
    first, second = gather(written), gather(written)
    assert page(first) == page(second)
    assert results(first) == results(second)


HOSTILE = "<script>alert(1)</script>|`a`*b*[x](y)\n# \"'&"


def test_text_from_files_is_escaped(folder):
    names = {"arm": HOSTILE, "dataset": HOSTILE}
    runs = {"with": [folder.add(0.25, seed, **names) for seed in range(100, 103)]}
    values = ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])
    folder.study(
        make_result(
            f"claim {HOSTILE}",
            {HOSTILE: values, "another": values},
            runs=runs,
            names=(HOSTILE, "norm=none"),
            statement=HOSTILE,
            section=HOSTILE,
            confounds=[HOSTILE],
            warnings=[HOSTILE],
            history=HOSTILE,
            margin_reason=HOSTILE,
        ),
        make_result("excluded", {}, excluded=HOSTILE),
        title=HOSTILE,
        dataset=HOSTILE,
    )
    evidence = gather(folder.path)
    html, markdown = page(evidence), results(evidence)
    assert "<script" not in html
    assert "<script" not in markdown
    Outline(html)
    assert re.findall(r"(?<!\\)`|\]\(y|[^\\*]\*b", markdown) == []
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = {len(re.split(r"(?<!\\)\|", line)) - 2 for line in tables}
    assert cells == {7, 8, 3}  # claims, arms, labels


# Markdown


def test_a_claim_has_a_row_and_a_section(markdown):
    lines = markdown.splitlines()
    row = next(line for line in lines if line.startswith("| LRN lowers error"))
    _, claim, section, paper, ours, points, n, label, _ = map(str.strip, row.split("|"))
    assert (claim, section, paper, n) == ("LRN lowers error", "3.3", "1.034× (other data)", "5")
    assert ours.startswith("1.120× [1.113, 1.")
    assert points.startswith("+3.")
    assert label == "**holds here**"
    assert "#### LRN lowers error: holds here" in lines
    assert f"- Gate, trained out, **failed**: {GATE}" in lines


def test_families_have_tables_of_their_own_with_counts(markdown):
    claims, extensions, controls = re.split(r"\n### (?:Extensions|Controls)\n", markdown)
    assert (
        "\n2 hold here, direction holds here in 1, no effect here in 1, 1 opposite here, "
        "1 undecided, 1 not testable here, 1 incomplete.\n" in claims
    )
    assert "\n1 holds here.\n" in extensions
    assert "\n1 as expected.\n" in controls


def test_without_verdicts_there_are_arms(folder):
    for seed in range(3):
        folder.add(0.25, seed, status="diverged" if seed else "finished")
    text = results(gather(folder.path))
    assert "> No verdicts yet" in text
    assert "| baseline | 3 (2 diverged) |" in text
    assert "## Glossary" not in text


def test_intervals_and_keys_are_readable_in_the_source():
    for text in ("1.034× [1.011, 1.058] (other data)", "recipe.train_limit=10", "−3 % & more"):
        assert escape(text).replace("&amp;", "&") == text


# A browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Written into the page's title, where the browser's dump of the document shows it.
PROBE = """<script>
const errors = []; addEventListener("error", event => errors.push(event.message));
addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("figure svg[role=img], .strip > svg, figure img")]
    .filter(box => box.checkVisibility());
  const empty = boxes.filter(box => !(box.getBoundingClientRect().width > 20
    && box.getBoundingClientRect().height > 10));
  document.title = JSON.stringify({
    wide: document.documentElement.scrollWidth, window: innerWidth,
    seen: boxes.length, empty: empty.length, errors: errors });
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_every_drawing_is_seen_and_nothing_overflows(html, width, tmp_path):
    # The frame gives the page its width: a window of Chromium is at least 500 pixels wide.
    (tmp_path / "page.html").write_text(html.replace("<head>", "<head>" + PROBE))
    outer = tmp_path / "frame.html"
    outer.write_text(
        f"<iframe id=f src=page.html style='width:{width}px;height:900px;border:0'></iframe>"
        "<script>addEventListener('load', () => setTimeout(() => {"
        "document.body.dataset.found = document.getElementById('f').contentDocument.title"
        "}, 300))</script>"
    )
    options = (
        "--headless=new --no-sandbox --disable-gpu --allow-file-access-from-files --hide-scrollbars"
        " --enable-logging=stderr --virtual-time-budget=3000 --dump-dom"
    )
    with subprocess.Popen(
        [CHROMIUM, *options.split(), f"--user-data-dir={tmp_path / 'profile'}", outer.as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "HOME": str(tmp_path)},
    ) as process:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert "CONSOLE" not in err, err
    found = unescape(re.search(r'data-found="(.*?)"', out)[1])
    # A strip for each of 13 rows and 4 axes, and 20 plots.
    assert found == (f'{{"wide":{width},"window":{width},"seen":37,"empty":0,"errors":[]}}')
