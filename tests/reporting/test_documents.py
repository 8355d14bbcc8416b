"""RESULTS.md and report.html."""

import os
import re
import shutil
import subprocess
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from records import make_result

from ablations.reporting import documents
from ablations.reporting.claims import details_of, plan_of, rows_of, warnings_of
from ablations.reporting.documents import results
from ablations.reporting.evidence import Evidence, gather
from ablations.reporting.labels import GLOSSARY, ICONS, RULES
from ablations.reporting.plots import draw
from ablations.reporting.tables import arms_rows, provenance
from ablations.reporting.words import sentence

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


def page(evidence: Evidence) -> str:
    return documents.page(evidence, draw(evidence.sections))


@pytest.fixture(scope="module")
def html(written) -> str:
    return page(gather(written))


@pytest.fixture(scope="module")
def outline(html) -> Outline:
    return Outline(html)


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
    assert outline.tags["link"] == outline.tags["iframe"] == 0
    assert "fetch(" not in html


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
    assert all("<td>" in plot for plot in plots)


def test_colors_are_the_style_sheets(html):
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert re.findall(r"(?:fill|stroke): ?#", drawn) == []
    assert set(re.findall(r"var\((--[\w-]+)\)", html)) <= set(re.findall(r"(--[\w-]+):", html))
    for name in ICONS:
        assert f'<symbol id="i-{name}"' in html
        assert re.search(rf"\.c-{name}\b[^}}]*\{{ color: var", html)


def test_the_headline_counts_the_papers_claims_only(html):
    tally = re.search(r'<ul class="tally">.*?</ul>', html, flags=re.DOTALL)[0]
    assert sum(int(n) for n in re.findall(r"<b>(\d+)</b>", tally)) == 8


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


def test_both_have_all_that_is_known(written, html):
    evidence = gather(written)
    (section,) = evidence.sections
    known = [*RULES.values(), *GLOSSARY.values(), *(value for _, value in provenance(section))]
    known += [cell for row in arms_rows(section) for cell in row]
    for result in section.shown:
        for row in rows_of(result):
            known += [
                row.ours,
                row.points,
                row.label.capitalize(),
                row.paper * (row.level != "part"),
            ]
        known += [value for _, value in plan_of(result) + details_of(result, 2)]
        known += [sentence(check.text) for check in result.checks]
        known += [result.statement, *warnings_of(result), *result.confounds]
    known += [result.excluded for result in section.excluded]
    for text in (re.sub(r"<[^>]+>", " ", html), results(evidence).replace("\\", "")):
        shown = " ".join(unescape(text).split()).lower()
        assert [fact for fact in known if fact.lower() not in shown] == []


HOSTILE = "<script>alert(1)</script>|`a`*b*[x](y)\n# \"'& $\\frac{$ [/nope]"


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
    assert html.count("<script") == 1  # the page's own
    assert "<script" not in markdown
    Outline(html)
    assert re.findall(r"(?<!\\)`|\]\(y|[^\\*]\*b", markdown) == []
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = {len(re.split(r"(?<!\\)\|", line)) - 2 for line in tables}
    assert cells == {7, 8, 3}  # claims, arms, labels


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
    done = subprocess.run(
        [CHROMIUM, *options.split(), f"--user-data-dir={tmp_path / 'profile'}", outer.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in done.stderr
    found = unescape(re.search(r'data-found="(.*?)"', done.stdout)[1])
    # A strip for each of 13 rows and 4 axes, and 20 plots.
    assert found == (f'{{"wide":{width},"window":{width},"seen":37,"empty":0,"errors":[]}}')
