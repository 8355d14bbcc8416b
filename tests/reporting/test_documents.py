"""RESULTS.md and report.html."""

import json
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

from ablations.claims.gates import Check
from ablations.claims.measures import SIDES
from ablations.reporting import documents
from ablations.reporting.claims import details_of, plan_of, rows_of, warnings_of
from ablations.reporting.documents import results, verdicts_tex
from ablations.reporting.evidence import Evidence, gather
from ablations.reporting.labels import GLOSSARY, ICONS, RULES
from ablations.reporting.plots import draw
from ablations.reporting.tables import arms_table, provenance
from ablations.words import sentence, slug, spoken

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


def test_the_index_names_each_claim_with_its_label(html, written):
    (index,) = re.findall(r"<nav .*?</nav>", html, flags=re.DOTALL)
    (section,) = gather(written).sections
    links = re.findall(r'<a href="#([^"]+)">.*?<span>(.*?) <small>(.*?)</small>', index)
    assert links == [
        (slug("small", result.claim), spoken(result.claim), result.word) for result in section.shown
    ]


def test_nowhere_is_a_negative_zero(folder):
    runs = {side: [folder.add(0.25, s, arm=side) for s in range(100, 103)] for side in SIDES}
    values = {"": ([0.25, 0.25004, 0.25], [0.25, 0.2501, 0.25001])}
    check = Check("trained out", True, "it changes by -0.0% [-0.00%, 0.0%]")
    claims = [
        make_result(scale, values, scale=scale, runs=runs, effect=None, checks=[check])
        for scale in ("ratio", "points", "relative", "plain")
    ]
    folder.study(*claims)
    evidence = gather(folder.path)
    html = page(evidence)
    labels = Outline(html).values("aria-label")
    for text in (
        re.sub(r"<[^>]+>", "\n", html),
        *labels,
        results(evidence),
        verdicts_tex(evidence),
    ):
        assert re.findall(r"(?<!\w)[-−]\$?0(?:\.0+)?(?![\d.])", text) == []


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
    rows = re.findall(r'<tr><th scope="row"><a href="([^"]+)">LRN lowers error', html, re.DOTALL)
    assert rows == ["#small-lrn-lowers-error", "#tiny-imagenet-lrn-lowers-error"]
    test_ids_are_unique_and_references_have_their_targets(html, Outline(html))


# Both


def test_both_have_all_that_is_known(written, html):
    evidence = gather(written)
    (section,) = evidence.sections
    known = [*RULES.values(), *GLOSSARY.values(), *(value for _, value in provenance(section))]
    known += [cell for row in arms_table(section)[1] for cell in row]
    for result in section.shown:
        for row in rows_of(result):
            known += [
                row.ours,
                row.points,
                row.result.word.capitalize(),
                row.paper_and_place * (row.level != "part"),
            ]
        known += [value for _, value in plan_of(result) + details_of(result, 2)]
        known += [sentence(check.text) for check in result.checks]
        known += [
            result.statement,
            *warnings_of(result),
            *result.confounds,
            *result.confounds.values(),
        ]
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
            confounds={HOSTILE: HOSTILE},
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

# Its result is written into the page's title, where the browser's dump of the document shows it.
PROBE = """<script>
const errors = []; addEventListener("error", event => errors.push(event.message));
const column = (table, place) =>
  [...table.tBodies[0].rows].map(row => row.cells[place].textContent);
const later = () => new Promise(done => setTimeout(done, 100));
addEventListener("load", async () => {
  document.title = JSON.stringify({...await probe(), errors: errors});
});
async function probe() { PROBE }
</script>"""


@pytest.fixture
def ask(tmp_path):
    """Return what a script finds in a page of some width."""

    def call(html: str, width: int, script: str) -> dict:
        # The frame gives the page its width: a window of Chromium is at least 500 pixels wide.
        probe = PROBE.replace("PROBE", script)
        (tmp_path / "page.html").write_text(html.replace("<head>", "<head>" + probe))
        outer = tmp_path / "frame.html"
        outer.write_text(
            f"<iframe id=f src=page.html style='width:{width}px;height:900px;border:0'></iframe>"
            "<script>addEventListener('load', () => setTimeout(() => {"
            "document.body.dataset.found = document.getElementById('f').contentDocument.title"
            "}, 3000))</script>"
        )
        options = (
            "--headless=new --no-sandbox --disable-gpu --allow-file-access-from-files "
            "--hide-scrollbars --enable-logging=stderr --virtual-time-budget=6000 --dump-dom"
        )
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            [CHROMIUM, *options.split(), profile, "--window-size=1600,1000", outer.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert "CONSOLE" not in done.stderr
        found = json.loads(unescape(re.search(r'data-found="(.*?)"', done.stdout)[1]))
        assert found.pop("errors") == []
        return found

    return call


browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.mark.slow
@browser
@pytest.mark.parametrize("width", [360, 1400])
def test_in_a_browser_every_drawing_is_seen_and_nothing_overflows(html, width, ask):
    found = ask(
        html,
        width,
        """
        const drawings = "figure svg[role=img], figure img";
        const boxes = [...document.querySelectorAll(drawings)].filter(box => box.checkVisibility());
        const empty = boxes.filter(box => !(box.getBoundingClientRect().width > 20
          && box.getBoundingClientRect().height > 10));
        const texts = [...document.querySelectorAll("figure svg text")];
        const sizes = texts.map(text => parseFloat(getComputedStyle(text).fontSize)
          * text.getScreenCTM().a);
        return {wide: document.documentElement.scrollWidth, seen: boxes.length,
          empty: empty.length, least: Math.min(...sizes)};
        """,
    )
    assert found.pop("least") >= 12
    # Forest, gaps and 20 plots.
    assert found == {"wide": width, "seen": 22, "empty": 0}


@pytest.mark.slow
@browser
def test_in_a_browser_long_names_do_not_overflow(folder, ask):
    width = 360
    long = "recipe.milestones=[" + "0.25,0.5," * 30 + "0.75]"
    names = ("baseline", f"norm=none data.crop=24 {long}")
    runs = {
        side: [folder.add(0.25, seed, arm=arm) for seed in range(100, 103)]
        for side, arm in zip(("with", "without"), names, strict=True)
    }
    values = ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])
    claim = make_result("a" * 90, {"b" * 90: values}, runs=runs, names=names, statement="c" * 90)
    folder.study(claim, title="d" * 90, dataset="e" * 90)
    found = ask(
        page(gather(folder.path)),
        width,
        "return {wide: document.documentElement.scrollWidth};",
    )
    assert found == {"wide": width}


@pytest.mark.slow
@browser
def test_in_a_browser_a_table_is_sorted_by_its_headings(study, ask):
    study.add(0.2, 200, arm="pooling=nonoverlap", status="diverged")  # has no training error
    found = ask(
        page(gather(study.path)),
        1400,
        """
        const table = [...document.querySelectorAll("table.sortable")]
          .find(table => table.caption.textContent.startsWith("Errors in percent"));
        const heads = [...table.tHead.rows[0].cells], place = 5;
        const button = heads[place].querySelector("button"), found = [];
        for (const turn of [1, 2]) {
          button.focus();
          button.click();
          found.push([heads[place].getAttribute("aria-sort"), ...column(table, place)]);
        }
        heads[0].querySelector("button").click();
        return {found: found, focus: document.activeElement === button,
          sorted: heads.filter(head => head.hasAttribute("aria-sort")).length,
          names: column(table, 0)};
        """,
    )
    up, down = found["found"]
    assert (up[0], down[0]) == ("ascending", "descending")
    values = [float(text.split()[0]) for text in up[1:-1]]
    assert values == sorted(values)
    assert down[1:-1] == up[-2:0:-1]
    assert up[-1] == down[-1] == "–"
    assert found["focus"]
    assert found["sorted"] == 1
    assert found["names"] == sorted(found["names"])


@pytest.mark.slow
@browser
@pytest.mark.parametrize(("width", "wide"), [(1400, True), (420, False)])
def test_in_a_browser_the_index_marks_the_claim_in_view(html, width, wide, ask):
    found = ask(
        html,
        width,
        """
        const index = document.querySelector(".index"), found = {open: index.open};
        index.open = true;
        const link = index.querySelector("a[href='#small-lrn-lowers-error']");
        document.documentElement.style.scrollBehavior = "auto";
        link.click();
        await later();
        dispatchEvent(new Event("scroll"));  // without a screen the browser's own may not come
        found.marked = [...index.querySelectorAll("[aria-current]")]
          .map(link => link.getAttribute("href"));
        found.top = document.querySelector("nav").getBoundingClientRect().top;
        found.after = index.open;
        return found;
        """,
    )
    # On a phone it is a list to unfold.
    assert found == {
        "open": wide,
        "marked": ["#small-lrn-lowers-error"],
        "top": 0,
        "after": wide,
    }
