"""The first page in a real browser: what is broken, and an operator who acts by keyboard alone."""

import pytest

from gateway import deployment
from upstream import Plan, answer, bad_key, error

#: Text that must stay text, wherever it comes from.
PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\"><svg onload=alert(1)>",
    "'-alert(1)-'",
    "{{7*7}}${7*7}",
    "javascript:alert(1)",
    "&lt;b&gt;bold&amp;",
    "\u202egnp.exe",
    "=HYPERLINK(\"x\")",
]


def chat(gateway, model="m", times=1):
    for _ in range(times):
        gateway.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "hi"}]})


@pytest.fixture
def outage(hale, upstream):
    """A group `m` with `bad`, which fails, and `good`; a group `alone` whose key is refused."""
    bad, good, lone = upstream(Plan(then=error(500, "engine overheated"))), upstream(), upstream(Plan(then=bad_key()))
    gateway = hale(
        deployment("m", bad, id="bad", weight=1),
        deployment("m", good, id="good", weight=0),
        deployment("alone", lone, id="lone", model="mistral/mistral-small"),
        router={"cooldown_time": 600},
    )
    chat(gateway, "m", 4)
    chat(gateway, "alone", 4)
    return gateway


def test_one_look_shows_which_provider_is_broken_since_when_whose_requests_and_what_to_do(outage, dashboard):
    board = dashboard(outage).sign_in()
    verdict = board.page.locator("#verdict")
    board.sees("2 of 3 deployments down", "#verdict")
    text = verdict.inner_text()
    assert "openai (bad): server errors for" in text and "mistral (lone): the key is refused for" in text
    assert "Nothing serves alone." in text
    card = board.page.locator("article", has_text="openai: server errors")
    for said in ["since ", "m: requests go to good", "Fix"]:
        assert said in card.inner_text(), said
    # A screen reader hears it too.
    assert verdict.get_attribute("role") == "status"
    rows = board.page.locator("tr.is-down")
    assert rows.count() == 2


def test_a_deployment_is_disabled_and_enabled_by_keyboard_alone(outage, dashboard):
    board = dashboard(outage).open()
    page = board.page
    page.locator("#key").wait_for()
    # The field has the focus already.
    page.keyboard.type("sk-wrong")
    board.expected.append("401")
    page.keyboard.press("Enter")
    board.sees("This is not a key of this gateway.", "#toast")
    page.locator("#key").fill("sk-test-0123456789abcdef")
    page.keyboard.press("Enter")
    board.sees("2 of 3 deployments down", "#verdict")
    tab_to(page, "Disable bad: send it no more requests")
    page.keyboard.press("Enter")
    board.sees("Disable bad?", "dialog")
    assert "good serves m meanwhile." in page.locator("dialog").inner_text()
    # The safe choice has the focus, and Escape leaves.
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    tab_to(page, "Disable bad: send it no more requests")
    page.keyboard.press("Enter")
    board.sees("Disable bad?", "dialog")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    board.sees("bad is disabled.", "#toast")
    board.sees("1 of 3 deployments down", "#verdict")
    tab_to(page, "Enable bad: let it serve again")
    page.keyboard.press("Enter")
    board.sees("Enable bad?", "dialog")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    board.sees("bad is enabled.", "#toast")


def tab_to(page, label):
    """Presses Tab until the element with that label has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == label:
            return
    raise AssertionError(f"no Tab reaches {label}")


def test_a_probe_says_what_the_provider_answered(outage, dashboard):
    board = dashboard(outage).sign_in()
    board.page.get_by_role("button", name="Probe lone").first.click()
    board.page.get_by_role("button", name="Probe", exact=True).last.click()
    board.sees("lone failed", "#toast")
    board.page.get_by_role("button", name="Probe good").click()
    board.page.get_by_role("button", name="Probe", exact=True).last.click()
    board.sees("good answered in", "#toast")


def test_what_changes_shows_without_a_reload_and_keeps_the_focus(hale, upstream, dashboard):
    gateway = hale(deployment("m", upstream(Plan(then=bad_key())), id="a"), deployment("m", upstream(), id="b"))
    board = dashboard(gateway).sign_in()
    board.sees("All is well", "#verdict")
    filter = board.page.locator("#filter")
    filter.fill("m")
    gateway.post("/router/deployments/a/disable", {})
    board.sees("disabled", "tr.is-off")
    assert board.page.evaluate("document.activeElement.id") == "filter"
    assert filter.input_value() == "m"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_of_names_and_errors_never_becomes_markup(hale, upstream, dashboard, payload):
    bad = upstream(Plan(then=error(500, payload)))
    gateway = hale(deployment(payload, bad, id=f"id {payload}", model=f"openai/{payload}"), router={"num_retries": 0})
    chat(gateway, payload, 3)
    board = dashboard(gateway).sign_in()
    board.sees("1 of 1 deployment down", "#verdict")
    for path in ["health", "incidents", "traffic", "spend", "requests", "explain", "playground", "models", "config"]:
        board.open(path)
        board.page.locator("main h1").first.wait_for(state="attached")
        made = board.page.evaluate(
            "document.querySelectorAll('main img, main script, main b, main [onerror], main [onload], main iframe').length")
        assert made == 0, path
    assert board.page.evaluate("document.title").startswith("Config")
    board.open("health")
    assert payload in board.page.locator("h3").first.inner_text()


def test_nothing_configured_is_said(hale, dashboard):
    board = dashboard(hale()).sign_in()
    board.sees("Nothing to serve", "#verdict")
    board.sees("No deployments", "main")
    for path, text in [("incidents", "No incident."), ("requests", "No request failed."), ("traffic", "No request came"), ("spend", "Nothing was spent")]:
        board.open(path)
        board.sees(text, "main")


def test_a_lost_connection_is_said_and_the_picture_comes_back(hale, upstream, dashboard):
    gateway = hale(deployment("m", upstream(), id="a"))
    board = dashboard(gateway).sign_in()
    board.sees("All is well", "#verdict")
    board.expected += ["Failed to load resource", "net::ERR"]
    board.page.context.set_offline(True)
    board.sees("The gateway does not answer.", "#connection")
    # The last picture stays, and its time is said.
    assert "This is the state of" in board.page.locator("#connection").inner_text()
    assert board.page.locator("tbody tr").count() == 1
    board.page.context.set_offline(False)
    board.page.locator("#connection").wait_for(state="hidden")


def test_an_error_of_the_gateway_is_shown_in_its_own_words(hale, upstream, dashboard):
    gateway = hale(deployment("m", upstream(), id="a"))
    board = dashboard(gateway).sign_in("explain")
    board.expected.append("400")
    board.page.locator("#model").fill("mm")
    board.page.keyboard.press("Enter")
    board.sees("mm", "[role=alert]")
    board.page.get_by_role("button", name="m", exact=True).click()
    board.sees("What a request for m would do now", "main")


def test_a_session_that_is_over_leads_to_the_sign_in(hale, upstream, dashboard):
    gateway = hale(deployment("m", upstream(), id="a"))
    board = dashboard(gateway).sign_in()
    board.expected.append("401")
    board.page.context.clear_cookies()
    board.page.locator("#key").wait_for()
    assert board.page.locator("tbody tr").count() == 0, "what was shown is gone"


def test_without_a_master_key_there_is_no_button_that_acts(hale, upstream, dashboard):
    gateway = hale(deployment("m", upstream(), id="a"), general={"master_key": None})
    board = dashboard(gateway).open()
    board.sees("read-only", "#account")
    board.sees("All is well", "#verdict")
    for name in ["Disable", "Probe", "Reset"]:
        assert board.page.get_by_role("button", name=name).count() == 0


def test_a_prompt_is_streamed_with_its_route(hale, upstream, dashboard):
    gateway = hale(deployment("m", upstream(Plan(then=answer("Hello", " there"))), id="a"))
    board = dashboard(gateway).sign_in("playground")
    board.page.locator("#p-model").fill("m")
    board.page.locator("#p-text").fill("hi")
    board.page.get_by_role("button", name="Send").click()
    board.sees("Hello there", ".answer")
    board.sees("m/a=ok", "main")


def test_a_past_request_is_found_by_its_call_id(outage, dashboard):
    board = dashboard(outage).sign_in("requests")
    board.sees("Failed 401", "main")
    board.page.locator("main").get_by_role("link", name="explain").first.click()
    board.sees("The way of", "main")
    board.sees("Failed 401 (the key is refused)", "main")


def test_the_public_page_shows_groups_and_no_more(hale, upstream, dashboard):
    gateway = hale(deployment("<b>m</b>", upstream(Plan(then=bad_key())), id="secret-id"), deployment("other", upstream(), id="b"),
                   general={"status_page": "public"})
    chat(gateway, "<b>m</b>", 3)
    board = dashboard(gateway)
    board.page.goto(f"{gateway.url}/status")
    board.sees("<b>m</b> is not available", "#verdict")
    board.sees("Available", "tr.is-up")
    text = board.page.locator("body").inner_text()
    assert "secret-id" not in text and "openai" not in text


def test_a_deployment_is_found_with_what_it_reaches_and_what_its_model_costs(hale, upstream, dashboard):
    bad = upstream(Plan(then=bad_key()))
    gateway = hale(deployment("m", bad, id="a", model="openai/gpt-4o"), deployment("other", upstream(), id="b", model="mistral/mistral-small"))
    chat(gateway, "m", 3)
    board = dashboard(gateway).sign_in("models")
    page = board.page
    board.sees("the key is refused", "[data-key=credentials]")
    page.locator("#m-filter").fill("openai")
    board.sees("openai", "[data-key=table]")
    assert page.locator("[data-key=table] tbody tr").count() == 1
    page.locator("[data-key=table] tbody").get_by_role("link").click()
    board.sees("for a million tokens", "[data-key=facts]")
    params = page.locator("[data-key=params]").inner_text()
    assert bad.url in params and "sk-upstream-secret" not in page.content()
    board.expected.append("400")
    board.open("models?id=nothing")
    board.sees("must be the id of a deployment", "[role=alert]")
