"""The page in a browser: no complaint, nothing fetched, both schemes, a phone, paper, without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sast_deploy.reports.dossier import Dossier
from sast_deploy.show.page.render import render
from tests.browser import NAMES, Tab, browser, chromium
from tests.dossiers import network_facts, several

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason=f"none of {', '.join(NAMES)} is installed"),
]
PHONE = 390  # pixels
LONG = "a-network-whose-name-is-as-long-as-somebody-made-it-and-then-some-more-of-it-without-a-space"
PAGES = ("one", "several", "long")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    dossiers = {
        "one": Dossier((network_facts(),)), "several": several(94, 95, 60),
        "long": Dossier((network_facts(
            LONG, notes=(LONG * 3,), data=LONG, source=LONG, classes=(LONG, LONG[::-1]), profile=LONG,
        ),)),
    }  # fmt: skip
    for name, dossier in dossiers.items():
        (folder / f"{name}.html").write_text(render(dossier))
    return {name: folder / f"{name}.html" for name in dossiers}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, PHONE])
def test_it_opens_without_a_complaint_and_fetches_nothing(
    name: str, dark: bool, width: int, tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages[name], width=width, dark=dark)
    assert tab.complaints() == []
    fetched = [address for address in tab.requests() if not address.startswith("data:")]
    assert fetched == [pages[name].resolve().as_uri()]
    assert tab.value("document.documentElement.scrollWidth") == width  # what is wider scrolls in its own box


@pytest.mark.parametrize("name", ["one", "several"])
def test_every_figure_is_drawn_and_its_text_is_of_the_page(
    name: str, tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages[name])
    tab.value("document.querySelectorAll('details').forEach(each => { each.open = true })")
    tab.value("document.querySelectorAll('.sample').forEach(each => { each.hidden = false })")
    sizes = tab.value(
        "[...document.querySelectorAll('svg')].map(svg => { const box = svg.getBoundingClientRect();"
        " return [box.width, box.height, svg.getBBox().width > 0] })"
    )
    assert len(sizes) == pages[name].read_text().count("<svg")
    assert all(width > 250 and height > 100 and drawn for width, height, drawn in sizes)
    assert tab.value("[...document.images].every(image => image.naturalWidth > 0)")
    fonts = tab.value("[...new Set([...document.querySelectorAll('svg text')].map("
                      "each => getComputedStyle(each).fontFamily))].length")  # fmt: skip
    assert fonts == 1


@pytest.mark.parametrize("name", ["one", "several"])
def test_text_stands_out_in_both_schemes(name: str, tab: Tab, pages: dict[str, Path]) -> None:
    """Every text that is seen, of figures too, has 3 to 1 at least against the page; the running text 7."""
    for dark in (False, True):
        tab.open(pages[name], dark=dark)
        paper = luminance(tab.value("getComputedStyle(document.body).backgroundColor"))
        assert (paper < 0.1) == dark
        running = luminance(tab.value("getComputedStyle(document.body).color"))
        assert contrast(running, paper) > 7
        colours = tab.value(
            "[...new Set([...document.querySelectorAll('p, th, td, dt, dd, small, h1, h2, h3, svg text')]"
            ".map(each => each.closest('svg') ? getComputedStyle(each).fill : getComputedStyle(each).color))]"
        )
        assert len(colours) > 3
        faint = [each for each in colours if contrast(luminance(each), paper) < 3]
        assert faint in ([], [tab.value("getComputedStyle(document.body).backgroundColor")])  # on discs


def luminance(colour: str) -> float:
    """Of "rgb(r, g, b)", as WCAG 2 defines it."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def shown(tab: Tab) -> list[int]:
    return list(tab.value(
        "[...document.querySelectorAll('.sample')].flatMap((each, k) => each.offsetHeight > 0 ? [k] : [])"
    ))  # fmt: skip


def test_one_steps_through_samples(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["one"])
    assert shown(tab) == [0]
    tab.value("document.querySelector('[data-step=\"1\"]').click()")
    assert (shown(tab), tab.value("document.querySelector('output').value")) == ([1], "2 / 2")
    tab.value("document.querySelector('.stepper').focus()")
    tab.key("ArrowRight")
    assert shown(tab) == [0]  # around
    tab.key("ArrowLeft")
    assert shown(tab) == [1]
    tab.key("ArrowUp")
    assert shown(tab) == [1]
    assert tab.complaints() == []


def test_without_a_script_the_first_sample_is_there_and_no_button(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["one"], script=False)
    assert shown(tab) == [0]
    assert tab.value("document.querySelector('.steps').offsetHeight") == 0


def test_a_script_of_somebody_elses_would_not_run(tab: Tab, pages: dict[str, Path], tmp_path: Path) -> None:
    text = pages["one"].read_text().replace("</main>", "<script>document.title = 'mine'</script></main>")
    (tmp_path / "altered.html").write_text(text)
    tab.open(tmp_path / "altered.html")
    assert tab.value("document.title") != "mine"


@pytest.mark.parametrize("name", PAGES)
def test_it_prints(name: str, tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages[name], dark=True)
    paper: Any = tab.pdf()
    assert paper.startswith(b"%PDF")
    sheets = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert 1 < sheets < 12
