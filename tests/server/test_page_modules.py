"""House rules of the page's modules, which no linter of ours reads."""

import re
from pathlib import Path

import pytest

from rereader.server.routes.pages import STATIC

MODULES = sorted(STATIC.glob("*.js"))
_IMPORT = re.compile(r'^import \{ ([^}]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) (\w+)", re.MULTILINE)
_MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
_CONNECTION = re.compile(r"(?<![.\w])fetch\(|new (?:EventSource|XMLHttpRequest|WebSocket)\(")


def text_of(module: Path) -> str:
    return module.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_imports_are_of_one_form_and_of_what_is_there(module):
    text = text_of(module)
    lines = [line for line in text.splitlines() if re.match(r"import\b", line)]
    found = _IMPORT.findall(text)
    assert len(lines) == len(found)
    assert "import(" not in text
    for names, other in found:
        exported = set(_EXPORT.findall(text_of(STATIC / f"{other}.js")))
        wanted = [name.partition(" as ") for name in names.split(", ")]
        assert {name for name, _, _ in wanted} <= exported
        body = _IMPORT.sub("", text)
        assert [local or name for name, _, local in wanted if not re.search(rf"\b{local or name}\b", body)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_it_is_short_and_says_what_it_is_for(module):
    text = text_of(module)
    lines = text.splitlines()
    assert text.startswith("/** ")
    assert len(lines) < 250
    assert max(map(len, lines)) <= 120
    exports = [place for place, line in enumerate(lines) if line.startswith("export ")]
    assert [lines[place] for place in exports if not lines[place - 1].endswith("*/")] == []


def test_text_never_becomes_markup_and_one_module_alone_opens_connections():
    assert [module.name for module in MODULES if _MARKUP.search(text_of(module))] == []
    assert [module.name for module in MODULES if _CONNECTION.search(text_of(module))] == ["api.js"]


def test_the_page_loads_nothing_from_outside_and_holds_no_script_or_style():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(address.startswith(("/", "#", "data:image/svg+xml,")) for address in addresses)
    assert not re.search(r"<style|style=|<script(?![^>]+src=)| on\w+=", page)
    sheets = "".join(sheet.read_text(encoding="utf-8") for sheet in STATIC.glob("*.css"))
    assert "url(" not in sheets
    assert "@import" not in sheets


def test_every_module_is_used():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    used = {name for module in MODULES for _, name in _IMPORT.findall(text_of(module))}
    used |= set(re.findall(r'src="/static/(\w+)\.js"', page))
    assert {module.stem for module in MODULES} == used
