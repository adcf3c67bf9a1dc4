"""Pictures of each page, narrow and wide, light and dark: nothing is cut off, and every control has a name.

With HALE_BLESS=1 the pictures of `docs/dashboard.md` are written.
"""

import datetime
import os
import pathlib
import sqlite3

import pytest

from conftest import ROOT
from gateway import MASTER_KEY, deployment
from test_health import chat
from upstream import Plan, bad_key, error, rate_limited

PAGES = ["health", "incidents", "traffic", "spend", "requests", "explain", "playground", "keys", "teams", "users", "models", "config"]
PICTURES = ROOT / "docs" / "dashboard"

#: Those that the documentation shows.
SHOWN = {("light", 1280, name) for name in [*PAGES, "key"]} | {("dark", 390, "health"), ("dark", 390, "key")}

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


def spend_of_days(data):
    """Writes what keys spent on each of the last days, as the store keeps it."""
    database = sqlite3.connect(next(data.glob("*.db")))
    tokens = dict(database.execute('select key_alias, token from "LiteLLM_VerificationToken"').fetchall())
    today = datetime.datetime.now(datetime.timezone.utc).date()
    for back in range(1, 30):
        day = (today - datetime.timedelta(days=back)).isoformat()
        for at, (alias, token) in enumerate(tokens.items()):
            usd = round((at + 1) * (5 + (back * 7 + at * 3) % 9) / 3, 2)
            row = {"id": f"{day} {alias}", "user_id": "ann", "date": day, "api_key": token, "model": "gpt-4o", "model_group": "gpt-4o",
                   "custom_llm_provider": "openai", "mcp_namespaced_tool_name": "", "endpoint": "/chat/completions", "spend": usd,
                   "api_requests": int(usd * 40), "successful_requests": int(usd * 39), "failed_requests": int(usd), "prompt_tokens": int(usd * 60_000),
                   "completion_tokens": int(usd * 9_000), "updated_at": 0}
            database.execute(f'insert into "LiteLLM_DailyUserSpend" ({",".join(row)}) values ({",".join("?" * len(row))})', list(row.values()))
    database.commit()
    database.close()


@pytest.fixture
def stage(hale, upstream, tmp_path):
    """A gateway with one provider down, one limited, one misconfigured, two that serve, and keys that spent something for a month."""
    data = tmp_path / "data"
    data.mkdir()
    before = hale(environment={"HALE_DATA_DIR": str(data)})
    keep(before)
    before.stop()
    spend_of_days(data)
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
        environment={"HALE_DATA_DIR": str(data)},
    )
    for model in ["gpt-4o", "mistral-large", "fast", "claude"]:
        chat(gateway, model, 5)
    return gateway


def keep(gateway):
    """Teams, users and keys: one spent, one nearly, one blocked."""
    def made(path, **body):
        answer = gateway.post(path, body)
        assert answer.status == 200, (path, answer.json)
        return answer.json
    made("/team/new", team_id="search", team_alias="Search", max_budget=500, budget_duration="30d", rpm_limit=600)
    made("/team/new", team_id="research", team_alias="Research", models=["gpt-4o", "claude"], tpm_limit=200_000)
    for user, role in [("ann", "internal_user"), ("bo", "proxy_admin_viewer")]:
        made("/user/new", user_id=user, user_email=f"{user}@example.com", user_role=role, max_budget=50, budget_duration="7d", auto_create_key=False)
    made("/team/member_add", team_id="search", member=[{"user_id": "ann", "role": "admin"}, {"user_id": "bo", "role": "user"}], max_budget_in_team=40)
    blocked = made("/key/generate", key_alias="old laptop", user_id="bo")["key"]
    made("/key/block", key=blocked)
    made("/key/generate", key_alias="nightly evaluation", team_id="research", max_budget=20, spend=20.4, budget_duration="1d")
    made("/key/generate", key_alias="notebooks", user_id="ann", models=["fast"], tpm_limit=50_000)
    made("/key/generate", key_alias="search service", team_id="search", user_id="ann", models=["gpt-4o", "fast"], rpm_limit=120, max_budget=100,
         budget_duration="30d", spend=86.5, soft_budget=80)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_its_window_and_can_be_read(stage, dashboard, width, scheme):
    board = dashboard(stage, width=width, color_scheme=scheme).sign_in()
    board.sees("of 6 deployments down", "#verdict")
    for name in [*PAGES, "key", "team", "user"]:
        if name in PAGES:
            board.open(name)
            board.page.locator(".page[data-key=" + name + "] h1").wait_for(state="attached")
            if name in ("keys", "teams", "users"):
                board.page.locator("tbody").wait_for()
        else:
            board.open(f"{name}s")
            board.page.locator("tbody").get_by_role("link", name={"key": "search service", "team": "Search", "user": "ann@example.com"}[name], exact=True).click()
            board.page.locator(".budget").first.wait_for()
            board.sees("Change budget") if name != "user" else None
        if name == "explain":
            board.page.get_by_role("button", name="gpt-4o", exact=True).click()
            board.sees("What a request for gpt-4o would do now")
        board.page.wait_for_load_state("load")
        assert board.page.evaluate(LOOK) == [], name
        assert board.page.evaluate(CONTRAST) == [], name
        assert board.faults() == [], name
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


def test_the_sign_in_the_questions_and_the_public_page_can_be_used_by_everyone(stage, hale, upstream, dashboard):
    board = dashboard(stage).open()
    board.page.locator("#key").wait_for()
    assert board.faults() == []
    # It does find what is wrong.
    board.page.evaluate("document.querySelector('main form').append(document.createElement('button'))")
    assert board.faults() != []
    board.page.locator("#key").fill(MASTER_KEY)
    board.page.keyboard.press("Enter")
    board.sees("of 6 deployments down", "#verdict")
    board.page.get_by_role("button", name="Disable azure-eu").click()
    board.sees("Disable azure-eu?", "dialog")
    assert board.faults() == []
    board.page.keyboard.press("Escape")
    # Every form that can be opened is, and what is shown once.
    for path in ["keys", "teams", "users"]:
        board.open(path)
        board.page.locator("tbody").wait_for()
        board.page.locator("details.card summary").first.click()
        if path == "keys":
            board.page.get_by_role("button", name="Make the key").click()
            board.page.locator("#made").wait_for()
        assert board.faults() == [], path
    board.expected.append("400")
    board.open("explain")
    board.page.locator("#model").fill("nothing")
    board.page.keyboard.press("Enter")
    board.page.locator("[role=alert]:visible").wait_for()
    assert board.faults() == []
    public = hale(deployment("m", upstream(), id="a"), general={"status_page": "public"})
    board = dashboard(public, color_scheme="dark")
    board.page.goto(f"{public.url}/status")
    board.page.locator("#verdict").wait_for()
    assert board.faults() == []
