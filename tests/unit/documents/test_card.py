"""A card says what is recorded, says where nothing is, and shows hostile text as text."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from shipway.documents.card import Card
from shipway.documents.wording import markdown, number, size

MakeCard = Callable[[Callable[[str], str]], Card]

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "</style><svg onload=alert(1)>",
    "</pre></figure><iframe src=//evil.example>",
    "</title><base href=//evil.example>",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "<http://evil.example>",
    "http://evil.example www.evil.example a@evil.example",
    "{{ 7*7 }}{% raw %}",
    "${{ github.token }}",
    "a | b | c",
    "`code` **bold** _em_ ~~gone~~",
    "# heading",
    "1. list",
    "- list",
    "> quote",
    "    code",
    "line\n\n# second",
    "line\r\n<hr>",
    "```\nfence",
    "~~~",
    "[ref]: http://evil.example",
    "[^1]: note",
    "&lt;b&gt; &#60;script&#62;",
    "\x1b[31mred\x07",
    "\u202egnp.exe",
    "\u2028next",
    "\\",
    "trailing\\",
    "'; rm -rf / #",
    "$(id)`id`",
    "'''\nimport os",
    "--><b>x",
    "]]>",
    "😀é漢",
]


class Tags(HTMLParser):
    """The tags and attribute names of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser


def tokens(text: str) -> list[str]:
    """The structure of a Markdown text as a reader with tables and raw HTML on would see it."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(text):
        found.append(token.type)
        found += [child.type for child in token.children or () if child.type != "text"]
    return found


def test_card_says_what_is_recorded(card: Card) -> None:
    """Decision, data, metrics with intervals, limits, lineage and history stand there."""
    text = card.markdown.replace("\\", "")
    for words in (
        "Warn the passenger that the flight will be late",
        "false positive 1, false negative 5",
        "0.716 to 0.751 (0.95 confidence, days resampled)",
        "27,000 in 31 blocks",
        "0.61 to unbounded",
        "+0.012",
        "roc_auc within carrier=HA (at least 0.7) is undecided on 120 rows; about 2,400 rows",
        "roc_auc (better than live) failed.",
        "tested on 27,000 rows from 2013-04-01 to 2013-04-30",
        "by force at 2026-03-01T09:30:00Z by grace: the owner wants it",
        "population stability index of 0.1",
        "UA, AA, C0, C1, C2, C3, C4, C5 and 3 more",
        "17 to 4,983",
        "uncommitted changes, sha256:abab",
        "1 decision of 5,000 differ",
        "live on flight-delay",
    ):
        assert words in text, words


def test_both_formats_say_the_same(card: Card) -> None:
    """Every text of the Markdown is in the HTML."""
    page = "".join(tags(card.html).text)
    for line in card.markdown.splitlines():
        if line.startswith("- **"):
            name, value = re.sub(r"\\(.)", r"\1", line[4:]).split("**: ", 1)
            assert name in page
            assert value in page


def test_absent_records_are_said_to_be_absent(bare_card: Card) -> None:
    """A version without records gets a card that invents nothing."""
    text = bare_card.markdown
    for words in (
        "Gate: not recorded",
        "Training data: not recorded",
        "- **Commit**: not recorded",
        "- **Decision that it serves**: not recorded",
        "- **Comparison with the original**: not recorded",
        "It was never live",
        "Objectives: not recorded",
        "It is not recorded on what it was tested",
        "watched: not recorded",
        "State: **not live**",
    ):
        assert words in text.replace("\\", ""), words


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_text(make_card: MakeCard, card: Card, hostile: str) -> None:
    """In every field at once, hostile text changes neither page's structure nor adds a link."""
    spoiled = make_card(lambda text: text + hostile)
    assert tags(spoiled.html).tags == tags(card.html).tags
    assert tokens(spoiled.markdown) == tokens(card.markdown)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_alone_is_text(make_card: MakeCard, card: Card, hostile: str) -> None:
    """The same where the field holds nothing but the hostile text."""
    spoiled = make_card(lambda _: hostile)
    assert tags(spoiled.html).tags == tags(make_card(lambda _: "x").html).tags
    assert tokens(spoiled.markdown) == tokens(make_card(lambda _: "x").markdown)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_any_text_stays_in_its_cell(text: str) -> None:
    """Whatever the text, in a table cell of Markdown it is one cell without any mark-up."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shown = markdown(text)
    page = parser.parse(f"| a | b |\n| --- | --- |\n| {shown} | end |\n")
    cells = [token for token in page if token.type == "inline"]
    assert len(cells) == 4
    kinds = {child.type for child in cells[2].children or ()}
    assert kinds <= {"text", "text_special"}
    assert cells[3].content == "end"


def test_page_fetches_nothing(card: Card) -> None:
    """The HTML is whole: no script, no image, no style sheet or font from anywhere."""
    names = {tag[0] for tag in tags(card.html).tags}
    assert not names & {"script", "img", "link", "iframe", "object", "base", "form"}
    assert "default-src 'none'" in card.html
    assert not re.search(r"url\(|@import|src=", card.html)
    hrefs = re.findall(r'href="([^"]*)"', card.html)
    assert all(href.startswith("#") for href in hrefs)
    anchors = set(re.findall(r'id="([^"]*)"', card.html))
    assert {href[1:] for href in hrefs} == anchors


def code_blocks(text: str) -> list[str]:
    return [t.content for t in MarkdownIt("commonmark").parse(text) if t.type == "code_block"]


@pytest.mark.parametrize("hostile", ["", "'; rm -rf / #", "'''\nimport os", "$(id)", "\\"])
def test_calls_are_whole(make_card: MakeCard, hostile: str) -> None:
    """Both examples are valid, ask the served endpoint, and carry the same request."""
    curl, python = code_blocks(make_card(lambda text: text + hostile).markdown)
    words = shlex.split(curl.replace("\\\n", " "))
    assert words[:2] == ["curl", "http://127.0.0.1:8080/v2/models/flight-delay/infer"]
    request: dict[str, Any] = json.loads(words[words.index("--data-raw") + 1])
    assert [one["data"][0] for one in request["inputs"]] == [f"UA{hostile}", 1400.0, None]
    tree = ast.parse(python)
    literals = [ast.unparse(k.value) for k in ast.walk(tree) if isinstance(k, ast.keyword)]
    assert request in [ast.literal_eval(x) for x in literals if x.startswith("{'inputs'")]


def test_equal_records_give_equal_bytes(make_card: MakeCard, card: Card) -> None:
    """The card has no clock and no chance in it."""
    assert make_card(lambda text: text) == card


def test_numbers_are_readable() -> None:
    """Values are shown to four digits, large ones whole, sizes in their unit."""
    assert [number(v) for v in (None, 0.123456, 12345.6, -0.5, 1e-7)] == [
        None, "0.1235", "12,346", "-0.5", "1e-07",
    ]  # fmt: skip
    assert [size(v) for v in (10, 2048, 3 * 1024 * 1024)] == ["10 bytes", "2.0 KiB", "3.0 MiB"]
