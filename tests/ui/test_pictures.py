"""Pictures of each page, narrow and wide, light and dark: nothing is cut off, and every control has a name.

With HALE_BLESS=1 the pictures of `docs/dashboard.md` are written.
"""

import os
import pathlib

import pytest

from conftest import ROOT
from gateway import deployment
from test_health import chat
from upstream import Plan, bad_key, error, rate_limited

PAGES = ["health", "incidents", "traffic", "requests", "explain", "playground", "config"]
PICTURES = ROOT / "docs" / "dashboard"

#: Those that the documentation shows.
SHOWN = {("light", 1280, name) for name in PAGES} | {("dark", 390, "health")}

#: Controls without a name, fields without a label, ids that are there twice, and what is wider than the window.
LOOK = """() => {
  const bad = [];
  const named = (node) => node.getAttribute('aria-label') || node.textContent.trim() || node.title || (node.labels && node.labels.length);
  for (const node of document.querySelectorAll('button, a, input:not([type=hidden]), select, textarea')) {
    if (!named(node)) bad.push('no name: ' + node.outerHTML.slice(0, 80));
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  bad.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => 'id twice: ' + id));
  if (document.documentElement.scrollWidth > window.innerWidth + 1) bad.push('wider than the window: ' + document.documentElement.scrollWidth);
  if (document.querySelectorAll('h1').length !== 1) bad.push('not one h1');
  for (const node of document.querySelectorAll('svg[role=img]')) if (!node.getAttribute('aria-label')) bad.push('a picture without text');
  return bad;
}"""

#: The contrast of every text against what is behind it.
CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const behind = (node) => { for (let at = node; at; at = at.parentElement) { const c = rgb(getComputedStyle(at).backgroundColor); if (c.length === 3 || c[3] > .99) return c; } return [255, 255, 255]; };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || node.closest('svg, noscript, script, dialog:not([open]), .visually-hidden, .skip') || !node.checkVisibility()) continue;
    const a = light(rgb(getComputedStyle(node).color)), b = light(behind(node));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push(ratio.toFixed(2) + ' ' + walker.currentNode.data.trim().slice(0, 40));
  }
  return bad;
}"""


@pytest.fixture
def stage(hale, upstream):
    """A gateway with one provider down, one limited, one misconfigured, and two that serve."""
    down, limited = upstream(Plan(then=error(500, "The server had an error"))), upstream(Plan(then=rate_limited(120)))
    refused = upstream(Plan(then=bad_key()))
    gateway = hale(
        deployment("gpt-4o", down, id="openai-us", weight=1),
        deployment("gpt-4o", upstream(), id="azure-eu", weight=0),
        deployment("mistral-large", refused, id="mistral-paris", model="mistral/mistral-large-latest"),
        deployment("fast", limited, id="groq", model="groq/llama-3.1-8b-instant"),
        deployment("fast", upstream(), id="local", model="hosted_vllm/llama-3.1-8b"),
        deployment("claude", id="claude", model="anthropic/claude-sonnet-4-5", api_key="os.environ/NOT_SET_HERE"),
        router={"cooldown_time": 600, "fallbacks": [{"mistral-large": ["fast"]}]},
    )
    for model in ["gpt-4o", "mistral-large", "fast", "claude"]:
        chat(gateway, model, 5)
    return gateway


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_its_window_and_can_be_read(stage, dashboard, width, scheme):
    board = dashboard(stage, width=width, color_scheme=scheme).sign_in()
    board.sees("of 6 deployments down", "#verdict")
    for name in PAGES:
        board.open(name)
        board.page.locator(".page[data-key=" + name + "] h1").wait_for(state="attached")
        if name == "explain":
            board.page.get_by_role("button", name="gpt-4o", exact=True).click()
            board.sees("What a request for gpt-4o would do now")
        board.page.wait_for_load_state("load")
        assert board.page.evaluate(LOOK) == [], name
        assert board.page.evaluate(CONTRAST) == [], name
        if os.environ.get("HALE_BLESS") and (scheme, width, name) in SHOWN:
            PICTURES.mkdir(exist_ok=True)
            size = {"x": 0, "y": 0, "width": width, "height": 900}
            board.page.screenshot(path=pathlib.Path(PICTURES, f"{name}-{width}.png"), clip=size)


def test_everything_that_is_loaded_is_below_300_kb(stage, dashboard):
    board = dashboard(stage)
    loaded: list[int] = []
    board.page.on("response", lambda answer: loaded.append(int(answer.headers.get("content-length", 0))))
    board.sign_in()
    assert 0 < sum(loaded) < 300_000
