"""Spend over time: whose it was, what a session cost, and the same as CSV."""

import csv
import io

import pytest

from gateway import deployment
from test_keys import made


@pytest.fixture
def spent(hale, upstream):
    """Two keys, of a team and of none, and a session; each answer costs 0.02 USD."""
    plan = upstream()
    gateway = hale(deployment("fast", plan, id="a", input_cost_per_token=0.001, output_cost_per_token=0.002))
    made(gateway, "/team/new", team_id="t1", team_alias="Search")
    keys = [made(gateway, "/key/generate", key_alias="=cmd()", team_id="t1")["key"], made(gateway, "/key/generate", key_alias="other <b>")["key"]]
    for key, times in zip(keys, [3, 1]):
        for _ in range(times):
            headers = {"authorization": f"Bearer {key}", "x-litellm-session-id": "s-1"}
            assert gateway.post("/v1/chat/completions", {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}, headers).status == 200
    return gateway


def until_counted(board, requests):
    """Days are written a moment after the requests."""
    page = board.page
    for _ in range(100):
        with page.expect_response(lambda response: "/ui/spend" in response.url) as found:
            page.get_by_role("button", name="7 days").click()
        if sum(day["requests"] for day in found.value.json()["total"].values()) == requests:
            board.sees(f"{requests} requests")
            return
        page.wait_for_timeout(200)
    raise AssertionError(page.locator("main").inner_text())


def download(page, button):
    with page.expect_download() as found:
        button.click()
    with open(found.value.path(), newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def test_spend_is_told_apart_by_key_team_and_model_and_saved_as_csv(spent, dashboard):
    board = dashboard(spent).sign_in("spend")
    page = board.page
    until_counted(board, 4)
    board.sees("$0.08 in 7 days")
    rows = page.locator("tbody tr")
    assert [row.split("\t")[:2] for row in rows.all_inner_texts()] == [["=cmd()", "$0.06"], ["other <b>", "$0.02"]]
    assert page.locator("main b").count() == 0
    saved = download(page, page.get_by_role("button", name="CSV"))
    assert [row["requests"] for row in saved] == ["3", "1"] and all(row["day"] for row in saved)
    page.get_by_role("button", name="team", exact=True).click()
    board.sees("Search", "tbody")
    assert "$0.06" in rows.first.inner_text()
    page.get_by_role("button", name="model", exact=True).click()
    board.sees("fast", "tbody")
    assert "$0.08" in rows.first.inner_text()
    # From here to the one whose it is.
    page.get_by_role("button", name="key", exact=True).click()
    page.locator("tbody").get_by_role("link", name="=cmd()").click()
    board.sees("What it may reach")


def test_a_session_is_found_by_its_id_with_its_requests(spent, dashboard):
    board = dashboard(spent).sign_in("spend")
    page = board.page
    until_counted(board, 4)
    page.locator("#session").fill("s-1")
    page.keyboard.press("Enter")
    board.sees("Its requests")
    shown = page.get_by_label("The session")
    assert "$0.08" in shown.inner_text() and shown.locator("tbody tr").count() == 4
    assert len(download(page, shown.get_by_role("button", name="CSV"))) == 4
    page.locator("#session").fill("s-2")
    page.keyboard.press("Enter")
    board.sees("No request of that session is known.")
