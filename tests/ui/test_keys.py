"""Keys, teams and users: what an operator, an admin of a team and the holder of a key see and do, by keyboard alone."""

import json
import sqlite3
import urllib.parse

import pytest

from gateway import deployment
from test_health import PAYLOADS

#: Names that must stay text, stay within the page and not look like others.
NAMES = [*PAYLOADS, "x" * 1000, "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627", "\u202egnp.live"]


@pytest.fixture
def gateway(hale, upstream):
    return hale(deployment("fast", upstream(), id="a"), deployment("large", upstream(), id="b"))


def made(gateway, path, **body):
    answer = gateway.post(path, body)
    assert answer.status == 200, (path, body, answer.json)
    return answer.json


def as_key(gateway, key, model="fast"):
    headers = {"authorization": f"Bearer {key}"}
    return gateway.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "hi"}]}, headers).status


def fill(page, label, text):
    """Types into the field of that label, which has the focus when Tab has reached it."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("[...(document.activeElement.labels || [])].map((one) => one.textContent).join()") == label:
            page.keyboard.press("Control+A")
            page.keyboard.press("Delete")
            page.keyboard.type(text)
            return
    raise AssertionError(f"no Tab reaches {label}")


def press(page, text):
    """Presses Enter on the button, link or summary of that text, which Tab has reached."""
    for _ in range(160):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"no Tab reaches {text}")


def confirm(board, question, act):
    """The safe choice has the focus; the other one is next."""
    board.sees(question, "dialog")
    assert board.page.evaluate("document.activeElement.textContent") == "Cancel"
    board.page.keyboard.press("Tab")
    assert board.page.evaluate("document.activeElement.textContent") == act
    board.page.keyboard.press("Enter")


def test_a_key_is_made_by_keyboard_alone_and_shown_once(gateway, dashboard):
    board = dashboard(gateway).sign_in("keys")
    page = board.page
    board.sees("No keys yet")
    press(page, "New key")
    fill(page, "Alias", "ci")
    fill(page, "Models", "fast")
    fill(page, "Budget, USD", "10")
    fill(page, "Budget begins anew after", "30d")
    fill(page, "Requests a minute", "60")
    page.keyboard.press("Enter")
    board.sees("The key ci was made")
    assert "$0 of $10.00" in page.locator("tbody").inner_text()
    key = page.locator("#made").input_value()
    assert key.startswith("sk-") and as_key(gateway, key) == 200
    assert as_key(gateway, key, "large") in (401, 403)
    press(page, "Done")
    page.locator("#made").wait_for(state="detached")
    assert key not in page.content()
    info = gateway.post("/key/info", {}).status
    assert info == 405, "the list is read with GET"
    # It is not there again on another page, nor after a reload.
    page.reload()
    board.sees("ci", "tbody")
    assert key not in page.content()


def test_a_key_that_was_not_done_with_is_gone_with_its_page(gateway, dashboard):
    board = dashboard(gateway).sign_in("keys")
    board.page.get_by_text("New key").click()
    board.page.get_by_role("button", name="Make the key").click()
    key = board.page.locator("#made").input_value()
    board.open("teams")
    board.sees("No teams yet")
    board.open("keys")
    board.sees("every model", "tbody")
    assert key not in board.page.content()


def test_a_budget_is_raised_and_a_key_blocked_replaced_and_deleted_by_keyboard_alone(gateway, dashboard):
    key = made(gateway, "/key/generate", key_alias="ci", max_budget=1, models=["fast"])["key"]
    made(gateway, "/key/update", key=key, spend=2)
    assert as_key(gateway, key) == 422
    board = dashboard(gateway).sign_in("keys")
    page = board.page
    board.sees("$2.00 of $1.00")
    press(page, "ci")
    board.sees("What it may reach")
    assert page.locator(".chips").inner_text() == "fast"
    assert "1 model group it may not use." in page.locator("main").inner_text()
    press(page, "Change budget, limits and models")
    fill(page, "Budget, USD", "50")
    fill(page, "Models", "")
    page.keyboard.press("Enter")
    board.sees("Saved: models, max_budget.", "#toast")
    board.sees("$2.00 of $50.00")
    assert as_key(gateway, key) == 200 and as_key(gateway, key, "large") == 200
    press(page, "Block")
    confirm(board, "Block ci?", "Block")
    board.sees("ci is blocked.", "#toast")
    board.sees("Nothing now:")
    assert as_key(gateway, key) in (401, 403)
    press(page, "Unblock")
    confirm(board, "Unblock ci?", "Unblock")
    board.sees("ci is unblocked.", "#toast")
    press(page, "Give it another text")
    press(page, "Replace")
    confirm(board, "Replace the text of ci?", "Replace")
    board.sees("The key was replaced")
    new = page.locator("#made").input_value()
    assert as_key(gateway, new) == 200 and as_key(gateway, key) == 401
    press(page, "Delete")
    confirm(board, "Delete ci?", "Delete")
    board.sees("ci is deleted.", "#toast")
    board.sees("No keys yet")
    assert as_key(gateway, new) == 401


def test_what_the_gateway_refuses_stands_at_the_form_with_what_was_written(gateway, dashboard):
    made(gateway, "/key/generate", key_alias="ci")
    board = dashboard(gateway).sign_in("keys")
    board.expected += ["400", "422"]
    page = board.page
    page.get_by_text("New key").click()
    page.locator("#make-key_alias").fill("ci")
    page.get_by_role("button", name="Make the key").click()
    board.sees("Key with alias 'ci' already exists", "[role=alert]")
    assert page.locator("#make-key_alias").input_value() == "ci"
    page.locator("#make-key_alias").fill("other")
    page.locator("#make-max_budget").fill("-1")
    page.get_by_role("button", name="Make the key").click()
    board.sees("max_budget", "[role=alert]")
    page.locator("#make-max_budget").fill("ten")
    page.get_by_role("button", name="Make the key").click()
    board.sees("`max_budget` must be a number of dollars", "[role=alert]")
    page.locator("#make-max_budget").fill("10")
    page.get_by_role("button", name="Make the key").click()
    board.sees("The key other was made")
    assert page.locator("[role=alert]:visible").count() == 0


def test_a_team_is_made_with_a_member_blocked_and_deleted(gateway, dashboard):
    board = dashboard(gateway).sign_in("teams")
    page = board.page
    board.sees("No teams yet")
    press(page, "New team")
    fill(page, "Name", "Search")
    fill(page, "Id", "t1")
    fill(page, "Models", "fast")
    fill(page, "Budget, USD", "100")
    page.keyboard.press("Enter")
    board.sees("The team Search was made.", "#toast")
    board.sees("$0 of $100.00")
    press(page, "Add a member")
    fill(page, "User id, or e-mail", "ann")
    fill(page, "Budget in the team, USD", "5")
    page.keyboard.press("Enter")
    board.sees("ann is in the team.", "#toast")
    board.sees("$0 of $5.00")
    key = made(gateway, "/key/generate", team_id="t1")["key"]
    assert (as_key(gateway, key), as_key(gateway, key, "large")) in [(200, 401), (200, 403)]
    press(page, "Change budget, limits and models")
    fill(page, "Models", "fast, large")
    page.keyboard.press("Enter")
    board.sees("Saved: models.", "#toast")
    assert as_key(gateway, key, "large") == 200
    press(page, "Block")
    confirm(board, "Block Search?", "Block")
    board.sees("Search is blocked.", "#toast")
    assert as_key(gateway, key) in (401, 403)
    press(page, "Unblock")
    confirm(board, "Unblock Search?", "Unblock")
    board.sees("Search is unblocked.", "#toast")
    press(page, "Delete")
    board.sees("Its 1 key and memberships go with it.", "dialog")
    confirm(board, "Delete Search?", "Delete")
    board.sees("No teams yet")
    assert as_key(gateway, key) == 401


def test_a_user_is_made_with_a_key_and_found(gateway, dashboard):
    board = dashboard(gateway).sign_in("users")
    page = board.page
    board.sees("No users yet")
    page.get_by_text("New user").click()
    page.locator("#make-user_email").fill("ann@example.com")
    page.locator("#make-user_id").fill("ann")
    page.locator("#make-max_budget").fill("20")
    page.locator("#make-role").select_option("internal_user_viewer")
    page.get_by_label("and a key of its own").check()
    page.get_by_role("button", name="Make the user").click()
    board.sees("The user ann@example.com was made, with a key")
    assert as_key(gateway, page.locator("#made").input_value()) == 200
    page.locator("#f-user_email").fill("ANN@example.com")
    page.get_by_role("button", name="Search").click()
    page.locator("tbody").get_by_role("link", name="ann@example.com").click()
    board.sees("internal_user_viewer")
    # What the request of before cost may be there already.
    board.sees("of $20.00")
    page.get_by_role("link", name="1 key").click()
    board.sees("user ann", "tbody")


def test_an_admin_of_a_team_manages_its_keys_and_sees_no_others(gateway, dashboard):
    made(gateway, "/team/new", team_id="t1", team_alias="Search")
    made(gateway, "/team/new", team_id="t2", team_alias="Secret")
    made(gateway, "/user/new", user_id="ann", auto_create_key=False)
    made(gateway, "/team/member_add", team_id="t1", member={"user_id": "ann", "role": "admin"})
    ann = made(gateway, "/key/generate", user_id="ann", key_alias="anns")["key"]
    other = made(gateway, "/key/generate", team_id="t1", key_alias="of another", max_budget=3)
    secret = made(gateway, "/key/generate", team_id="t2", key_alias="unseen")
    board = dashboard(gateway)
    page = board.open("keys").page
    page.locator("#key").fill(ann)
    page.keyboard.press("Enter")
    board.sees("anns", "tbody")
    assert page.locator("nav a").all_inner_texts() == ["Spend", "Playground", "Keys", "Teams", "Users"]
    assert "unseen" not in page.content() and page.locator("#verdict").inner_text() == ""
    page.get_by_role("link", name="Teams").click()
    page.locator("tbody").get_by_role("link", name="Search").click()
    board.sees("ann", "tbody")
    assert page.get_by_role("button", name="Delete").count() == 0, "only proxy admins delete teams"
    page.get_by_role("link", name="1 key").click()
    page.locator("tbody").get_by_role("link", name="of another").click()
    board.sees("What it may reach")
    page.get_by_text("Change budget, limits and models").click()
    assert page.locator("#edit-max_budget").count() == 0, "the budget of a key that is there is for proxy admins"
    page.locator("#edit-rpm_limit").fill("7")
    page.get_by_role("button", name="Save").click()
    board.sees("0 of 7")
    board.open("keys")
    page.get_by_text("New key").click()
    page.locator("#make-key_alias").fill("new one")
    page.get_by_role("button", name="Make the key").click()
    board.sees("The key new one was made")
    assert as_key(gateway, page.locator("#made").input_value()) == 200
    # What is another team's is as what is not there.
    board.expected += ["401", "404"]
    for token in (secret["token"], "0" * 64):
        board.open("keys?key=" + token)
        board.sees("Key not found in database", "[role=alert]")
    board.open("teams?id=t2")
    board.sees("No team has the id t2, or it is not yours.", "[role=alert]")
    assert "Secret" not in page.content() and "unseen" not in page.content()
    assert other["token"] and page.locator("nav a").count() == 5, "the session goes on"


def test_one_who_sees_everything_has_no_button_that_changes_something(gateway, dashboard):
    made(gateway, "/user/new", user_id="eve", user_role="proxy_admin_viewer", auto_create_key=False)
    viewer = made(gateway, "/key/generate", user_id="eve", key_alias="eves")
    made(gateway, "/team/new", team_id="t1", team_alias="Search")
    board = dashboard(gateway)
    page = board.open().page
    page.locator("#key").fill(viewer["key"])
    page.keyboard.press("Enter")
    board.sees("All is well", "#verdict")
    for path in ["health", "keys", "keys?key=" + viewer["token"], "teams", "teams?id=t1", "users", "users?id=eve"]:
        board.open(path)
        page.locator(f".page[data-key={path.split('?')[0]}] h1").wait_for(state="attached")
        page.locator(".quiet", has_text="Loading").wait_for(state="detached")
        for name in ["New key", "New team", "New user", "Change", "Block", "Delete", "Disable", "Add a member", "Give it"]:
            assert page.get_by_text(name).count() == 0, (path, name)


def test_a_session_ends_with_its_key(gateway, dashboard):
    made(gateway, "/user/new", user_id="ann", auto_create_key=False)
    key = made(gateway, "/key/generate", user_id="ann", key_alias="anns")
    board = dashboard(gateway)
    page = board.open("keys").page
    page.locator("#key").fill(key["key"])
    page.keyboard.press("Enter")
    board.sees("anns", "tbody")
    board.expected.append("401")
    made(gateway, "/key/delete", keys=[key["key"]])
    page.get_by_role("link", name="Teams").click()
    page.locator("#key").wait_for()
    assert "anns" not in page.locator("main").inner_text()
    # A key that is blocked, or not there, begins none.
    blocked = made(gateway, "/key/generate")["key"]
    made(gateway, "/key/block", key=blocked)
    for refused in (key["key"], blocked):
        page.locator("#key").fill(refused)
        page.keyboard.press("Enter")
        board.sees("This is not a key of this gateway." if refused == key["key"] else "blocked", "#toast")
    assert page.locator("#key").count() == 1


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:24])
def test_names_of_keys_teams_and_users_stay_text_within_the_page(gateway, dashboard, name):
    team = made(gateway, "/team/new", team_alias=name, models=[name])["team_id"]
    made(gateway, "/user/new", user_id=f"id {name}"[:1000], user_alias=name, auto_create_key=False)
    key = made(gateway, "/key/generate", key_alias=name, models=[name], team_id=team, user_id=f"id {name}"[:1000])
    board = dashboard(gateway, width=390).sign_in("keys")
    page = board.page
    user = urllib.parse.quote(f"id {name}"[:1000])
    for path in ["keys", f"keys?key={key['token']}", "teams", f"teams?id={team}", "users", f"users?id={user}"]:
        board.open(path)
        page.locator("main bdi").first.wait_for()
        assert page.evaluate("document.querySelectorAll('main img, main script, main b, main [onerror], main [onload], main iframe, main svg[onload]').length") == 0, path
        assert page.evaluate("document.documentElement.scrollWidth") <= 391, path
        text = page.locator("main bdi").first.inner_text()
        assert "\u202e" not in text, path
        assert text.replace("\ufffd", "\u202e").startswith(name[:20]), path


def test_a_list_that_cannot_be_read_is_said_and_the_last_one_stays(gateway, dashboard):
    made(gateway, "/key/generate", key_alias="ci")
    board = dashboard(gateway).sign_in("keys")
    board.sees("ci", "tbody")
    board.expected += ["Failed to load resource", "net::ERR"]
    board.page.context.set_offline(True)
    board.page.locator("#f-key_alias").fill("other")
    board.page.get_by_role("button", name="Search").click()
    board.sees("The gateway does not answer.", "#connection")
    assert "ci" in board.page.locator("tbody").inner_text()
    board.page.context.set_offline(False)
    board.page.locator("#connection").wait_for(state="hidden")


def test_ten_thousand_keys_come_in_pages(hale, upstream, dashboard, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    first = hale(deployment("m", upstream(), id="a"), environment={"HALE_DATA_DIR": str(data)})
    made(first, "/team/new", team_id="t1", team_alias="Large")
    made(first, "/key/generate", key_alias="first", team_id="t1")
    first.stop()
    database = sqlite3.connect(next(data.glob("*.db")))
    names = [row[1] for row in database.execute('pragma table_info("LiteLLM_VerificationToken")')]
    row = dict(zip(names, database.execute('select * from "LiteLLM_VerificationToken"').fetchone()))
    rows = [{**row, "token": f"{number:064x}", "key_alias": f"key {number}", "created_at": row["created_at"] + number} for number in range(1, 10_000)]
    insert = f'insert into "LiteLLM_VerificationToken" ({",".join(json.dumps(name) for name in names)}) values ({",".join("?" * len(names))})'
    database.executemany(insert, [[one[name] for name in names] for one in rows])
    database.commit()
    database.close()
    gateway = hale(deployment("m", upstream(), id="a"), environment={"HALE_DATA_DIR": str(data)})
    board = dashboard(gateway).sign_in("keys")
    page = board.page
    board.sees("10 k keys, page 1 of 200")
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("button", name="Next").click()
    board.sees("page 2 of 200")
    assert "key 9949" in page.locator("tbody tr").first.inner_text()
    # One of them is found by its name, and the team is shown without all of its keys.
    page.locator("#f-key_alias").fill("key 77")
    page.get_by_role("button", name="Search").click()
    board.sees("1 key, page 1 of 1")
    sizes = []
    page.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", 0))))
    page.locator("tbody").get_by_role("link", name="team t1").click()
    page.locator("main").get_by_role("link", name="10 k keys").wait_for()
    assert sum(sizes) < 300_000
