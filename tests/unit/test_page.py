"""The page: the same bytes again, no name that acts, ids once, nothing from outside, who is on the front."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sast_deploy.base.outputs import PAGE, OutputError, check_output
from sast_deploy.reports.dossier import Dossier, EngineCheck, Histogram
from sast_deploy.show.page.render import render
from sast_deploy.show.page.svg import ACCENT, INK, event_pixels, svg
from sast_deploy.studies.dossier.choice import choose, pareto
from tests.dossiers import NET, network_facts, several

HOSTILE = '<script>alert("1")</script> & $x$ \x1b]0;x\x07 id="figure_1"'
SECTIONS = ("way", "layers", "samples", "weights", "confusion", "curves", "cost", "proofs", "manifest")


class Elements(HTMLParser):
    """Every element's name and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


@pytest.fixture(scope="module")
def page() -> str:
    return render(Dossier((network_facts(),)), {"networks": ["0"]})


@pytest.fixture(scope="module")
def compared() -> str:
    return render(several(90, 95, 80))


@pytest.mark.slow
def test_the_same_facts_give_the_same_bytes(page: str) -> None:
    assert render(Dossier((network_facts(),)), {"networks": ["0"]}) == page
    assert not re.search(r"20\d\d-\d\d-\d\d", page)  # no date


@pytest.mark.slow
@pytest.mark.parametrize("which", ["page", "compared"])
def test_ids_are_there_once_and_what_refers_to_them_finds_them(
    which: str, request: pytest.FixtureRequest
) -> None:
    text = request.getfixturevalue(which)
    elements = Elements(text).found
    ids = [str(attributes["id"]) for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 50
    links = [str(each["href"]) for _, each in elements if "href" in each]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["page", "compared"])
def test_nothing_comes_from_outside(which: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(which)
    for tag, attributes in Elements(text).found:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, name, value)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text
    assert text.count("<script") == 1
    assert len(text.encode()) < 1_500_000


@pytest.mark.slow
def test_every_section_is_there_and_has_its_figures(page: str) -> None:
    ids = {attributes.get("id") for _, attributes in Elements(page).found}
    assert {f"n0-{name}" for name in SECTIONS} <= ids
    figures = [attributes for tag, attributes in Elements(page).found if tag == "svg"]
    # ladder, four of each of two samples, weights, margins, confusion, drop, noise, latency
    assert len(figures) == 1 + 2 * 4 + 1 + 1 + 1 + 2 + 1
    assert all(each["role"] == "img" and each["aria-label"] for each in figures)


@pytest.mark.slow
def test_figures_have_the_colours_and_the_font_of_the_page(page: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.S))
    assert "var(--accent)" in drawn
    assert "currentColor" in drawn
    assert not {INK, ACCENT} & set(re.findall(r"#[0-9a-f]{6}", drawn))
    assert "font-family" not in drawn


@pytest.mark.slow
def test_a_name_is_never_markup_and_never_acts() -> None:
    facts = network_facts(
        HOSTILE, classes=(HOSTILE, "right"), data=HOSTILE, notes=(HOSTILE,), profile=HOSTILE
    )
    manifest = replace(facts.manifest, commands=(HOSTILE,), versions={"python": HOSTILE})
    mistakes = tuple(replace(each, what=HOSTILE, label=HOSTILE) for each in facts.mistakes)
    trace = replace(facts.traces[0], what=HOSTILE, classes=(HOSTILE, "right"), label=0)
    text = render(Dossier((replace(facts, manifest=manifest, mistakes=mistakes, traces=(trace,)),)))
    assert text.count("<script") == 1
    assert "alert(" in text
    assert not re.search(r"<script>alert|[\x00-\x08\x0b-\x1f\x7f]", text)
    ids = [each["id"] for _, each in Elements(text).found if "id" in each]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_a_network_that_is_not_bit_accurate_is_not_to_be_trusted() -> None:
    checks = (EngineCheck("lava", "test split", 20, 1000, "sample 3, step 2: membrane 1 against 2"),)
    text = render(Dossier((network_facts(checks=checks),)))
    assert "Not to be trusted: engines disagree" in text
    assert "membrane 1 against 2" in text
    assert 'class="verdict against"' in text


@pytest.mark.slow
def test_what_is_missing_is_said() -> None:
    why = {"confusion": "no labels at all", "margins": "no labels here", "curves": "nothing to drop"}
    text = render(Dossier((network_facts(
        accuracy=None, confusion=None, right=None, mistakes=(), margins=(), saturation=(), curves=(),
        missing=why, ladder=(), weights=(),
    ),)))  # fmt: skip
    assert all(each in text for each in why.values())


@pytest.mark.slow
def test_several_are_held_against_each_other(compared: str) -> None:
    assert "3 networks side by side" in compared
    assert "Most accurate: b" in compared
    for heading in ("Accuracy against what it costs", "Which to take for which budget"):
        assert heading in compared
    assert compared.count("<details>") == 3


@pytest.mark.parametrize(("costs", "gains", "front"), [
    ([1, 2, 3], [0.5, 0.6, 0.7], [0, 1, 2]),
    ([1, 2, 3], [0.5, 0.4, 0.7], [0, 2]),
    ([3, 2, 1], [0.9, 0.9, 0.9], [2]),
    ([1, 1, 2], [0.5, 0.6, 0.6], [1]),
    ([1, 1], [0.5, 0.5], [0]),
    ([1, 2], [None, 0.1], [1]),
])  # fmt: skip
def test_the_front(costs: list[float], gains: list[float | None], front: list[int]) -> None:
    assert pareto(costs, gains) == front


def test_the_front_is_what_nobody_beats() -> None:
    rng = np.random.default_rng(0)
    costs, gains = rng.integers(0, 9, 40).tolist(), rng.integers(0, 9, 40).tolist()
    on = pareto(costs, gains)
    for index in range(40):
        beaten = any(
            costs[each] <= costs[index] and gains[each] >= gains[index]
            and (costs[each], gains[each]) != (costs[index], gains[index])
            for each in range(40)
        )  # fmt: skip
        alike = [each for each in on if (costs[each], gains[each]) == (costs[index], gains[index])]
        assert bool(alike) != beaten


def test_budgets_and_advice() -> None:
    choice = several(94, 95, 60).choice
    assert choice is not None
    operations = choice.axes[0]
    assert [(take.network, take.high is None) for take in operations.front] == [("a", False), ("b", True)]
    expected = "0.08 to 0.16 thousand SynOps per inference: a, 94.00 %"
    assert operations.sentence(operations.front[0]) == expected
    assert choice.best == "b"
    assert choice.p[1] == 1.0
    assert choice.p[2] is not None
    assert choice.p[2] < 0.001
    assert choice.advice[1].startswith("a needs 50 % fewer operations")  # 94 cannot be told from 95
    assert choice.caution == ""


def test_a_worse_network_is_not_recommended_for_being_cheap() -> None:
    choice = several(60, 95).choice
    assert choice is not None
    assert len(choice.advice) == 1


def test_networks_on_other_samples_are_not_compared_by_a_test() -> None:
    one, other = network_facts("a"), network_facts("b")
    other = replace(other, manifest=replace(other.manifest, data={"samples": "50 of 100"}))
    choice = choose([one, other])
    assert choice.p == (None, None)
    assert choice.caution


def test_a_dossier_cannot_be_made_wrong() -> None:
    with pytest.raises(ValueError, match="several and a choice"):
        Dossier((network_facts(), network_facts()))
    with pytest.raises(ValueError, match="counts between"):
        Histogram("integers", np.arange(3.0), np.arange(3))


def test_event_frames_are_opaque_where_events_are() -> None:
    image = np.zeros((2, 2, 2), int)
    image[0, 0, 0], image[1, 1, 1] = 3, 1
    pixels = event_pixels(image)
    assert pixels.shape == (2, 2, 4)
    assert (pixels[..., 3] > 0).tolist() == [[True, False], [False, True]]
    assert pixels[0, 0, 0] > pixels[0, 0, 2]  # OFF is warm
    assert pixels[1, 1, 2] > pixels[1, 1, 0]  # ON is cold


def test_a_colour_in_a_text_stays_a_text() -> None:
    def draw(figure: Any) -> None:
        figure.subplots().set_title(f"class {INK}")

    assert f"class {INK}" in svg("x", "a label", draw)


@pytest.mark.slow
def test_a_page_of_another_run_stays(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page)
    check_output(path, PAGE, {"networks": ["0"]})
    with pytest.raises(OutputError, match="page of networks"):
        check_output(path, PAGE, {"networks": ["1"]})
    check_output(path, PAGE, {"networks": ["1"]}, overwrite=True)
    path.write_text("<!doctype html>\n<p>my own")
    with pytest.raises(OutputError, match="another kind"):
        check_output(path, PAGE, {"networks": ["1"]}, overwrite=True)


def test_the_small_network_is_one() -> None:
    assert NET.program.steps == 4


@pytest.mark.slow
@pytest.mark.parametrize("correct", [(40, 95, 94), (95, 40), (90, 90), (0, 0), (100, 100, 100)])
def test_networks_far_away_stand_at_the_edge(correct: tuple[int, ...]) -> None:
    text = render(several(*correct))  # matplotlib would warn of a figure that has no room
    fronts = re.findall(r"<svg[^>]*aria-label=\"Accuracy against.*?</svg>", text, flags=re.S)
    assert len(fronts) == 4
    for figure in fronts:
        for number in range(1, len(correct) + 1):
            assert re.search(rf">{number}</text>", figure)


@pytest.mark.slow
def test_what_would_mend_it_stands_in_the_verdict(page: str) -> None:
    first = page.index("What would mend it: Loihi 2 instead (±0.00 points); or reset to zero (−4.00 points).")
    assert first < page.index("From training to the chip</h2>")
    assert "compile ckpt.pt reset to zero" in page
