"""Who signs in: by a password, and what a session of it is."""

import hashlib
import sqlite3

import pytest

from gateway import MASTER_KEY, deployment
from test_keys import made


@pytest.fixture
def gateway(hale, upstream):
    return hale(deployment("m", upstream(), id="a"))


def with_password(board, name, password):
    page = board.page
    page.get_by_text("Sign in with a password").wait_for()
    if not page.locator("#username").is_visible():
        page.get_by_text("Sign in with a password").click()
    page.locator("#username").fill(name)
    page.locator("#password").fill(password)
    page.keyboard.press("Enter")


def test_an_operator_sets_a_password_and_the_user_signs_in_with_it(gateway, dashboard):
    made(gateway, "/user/new", user_id="ann", user_email="ann@example.com", auto_create_key=False, max_budget=5)
    board = dashboard(gateway).sign_in("users?id=ann")
    page = board.page
    page.get_by_text("Set a password").click()
    page.locator("#new-password").fill("correct horse")
    page.keyboard.press("Enter")
    board.sees("The password is set.", "#toast")
    page.get_by_text("Change budget, limits, models and role").click()
    page.locator("#edit-max_budget").fill("7")
    page.get_by_role("button", name="Save").click()
    board.sees("$0 of $7.00")
    other = dashboard(gateway).open()
    other.expected.append("401")
    for name, password in [("ann", "correct horsf"), ("other", "correct horse"), ("ann", "scrypt:AAAA")]:
        with_password(other, name, password)
        other.sees("The name or the password is wrong.", "#toast")
        other.page.locator("#toast").evaluate("node => node.replaceChildren()")
    with_password(other, "ANN@example.com", "correct horse")
    other.sees("ann@example.com", "#account")
    other.sees("dashboard session", "tbody")
    assert other.page.locator("nav a").all_inner_texts() == ["Spend", "Playground", "Keys", "Teams", "Users"]
    # The operator sees the session among the keys, and ends it.
    board.open("keys")
    page.locator("tbody").get_by_role("link", name="dashboard session").click()
    page.get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    board.sees("No keys yet")
    other.page.get_by_role("link", name="Teams").click()
    other.page.locator("#key").wait_for()


def test_a_session_leaves_no_key_behind_when_it_is_ended(gateway, dashboard):
    made(gateway, "/user/new", user_id="ann", auto_create_key=False, user_role="proxy_admin")
    made(gateway, "/user/update", user_id="ann", password="correct horse")
    board = dashboard(gateway).open()
    with_password(board, "ann", "correct horse")
    board.sees("All is well", "#verdict")
    board.open("keys")
    board.sees("dashboard session", "tbody")
    board.page.get_by_role("button", name="Sign out").click()
    board.page.locator("#key").wait_for()
    admin = dashboard(gateway).sign_in("keys")
    admin.sees("No keys yet")
    # The master key is the password of `admin`, as in LiteLLM.
    last = dashboard(gateway).open()
    with_password(last, "admin", MASTER_KEY)
    last.sees("All is well", "#verdict")


def test_an_old_password_of_litellm_is_taken_and_kept_anew(hale, upstream, dashboard, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    first = hale(deployment("m", upstream(), id="a"), environment={"HALE_DATA_DIR": str(data)})
    made(first, "/user/new", user_id="ann", auto_create_key=False)
    first.stop()
    path = next(data.glob("*.db"))
    with sqlite3.connect(path) as database:
        old = hashlib.sha256(b"correct horse").hexdigest()
        database.execute('update "LiteLLM_UserTable" set password = ?', [old])
    gateway = hale(deployment("m", upstream(), id="a"), environment={"HALE_DATA_DIR": str(data)})
    board = dashboard(gateway).open()
    board.expected.append("401")
    with_password(board, "ann", old)
    board.sees("The name or the password is wrong.", "#toast")
    with_password(board, "ann", "correct horse")
    board.sees("dashboard session", "tbody")
    gateway.stop()
    with sqlite3.connect(path) as database:
        kept = database.execute('select password from "LiteLLM_UserTable" where user_id = ?', ["ann"]).fetchone()[0]
        audit = "".join(map(str, database.execute('select * from "LiteLLM_AuditLog"').fetchall()))
    assert kept.startswith("scrypt:") and len(kept) == 71
    assert kept not in audit and "scrypt" not in audit and old not in audit


def test_what_is_no_password_or_another_users_is_refused_and_nothing_is_changed(gateway):
    made(gateway, "/user/new", user_id="ann", user_email="ann@example.com", auto_create_key=False)
    made(gateway, "/user/new", user_id="bo", auto_create_key=False)
    for body, status in [
        ({"user_id": "ann", "password": "short"}, 400), ({"user_id": "ann", "password": ""}, 400), ({"user_id": "ann", "password": 12345678}, 400),
        ({"user_id": "ann", "password": "x" * 1025}, 400), ({"user_id": "ann", "user_role": "emperor"}, 400), ({"user_id": "nothing", "max_budget": 1}, 404),
        ({"user_id": "bo", "user_email": "ANN@example.com"}, 409), ({"user_id": "ann", "max_budget": -1}, 422), ({"password": "correct horse"}, 400),
    ]:
        answer = gateway.post("/user/update", body)
        assert answer.status == status, (body, answer.json)
        assert "correct horse" not in str(answer.json)
    changed = made(gateway, "/user/update", user_id="ann", user_role="proxy_admin_viewer", password="correct horse")
    assert changed["data"]["user_role"] == "proxy_admin_viewer" and "password" not in changed["data"]
    key = made(gateway, "/key/generate", user_id="bo")["key"]
    refused = gateway.post("/user/update", {"user_id": "bo", "user_role": "proxy_admin"}, {"authorization": f"Bearer {key}"})
    assert refused.status in (401, 403)


def test_guesses_have_to_wait_and_the_right_password_works_after_the_wait(gateway, dashboard):
    made(gateway, "/user/new", user_id="ann", auto_create_key=False)
    made(gateway, "/user/update", user_id="ann", password="correct horse")
    board = dashboard(gateway).open()
    board.expected += ["401", "429"]
    page = board.page
    page.locator("#key").wait_for()

    def login(name, password):
        """As a page of the gateway sends it: the status, and how long to wait."""
        return page.evaluate("""async ([username, password]) => {
            const answer = await fetch('login', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({username, password})});
            return [answer.status, Number(answer.headers.get('retry-after'))]; }""", [name, password])

    # The first five are free; from then on a name waits, in whatever letters it is written. A machine may be slower than the first wait.
    answers = [login("Ann" if number % 2 else "ANN", "wrong horse") for number in range(5)]
    assert answers == [[401, 0]] * 5
    while answers[-1][0] == 401:
        answers.append(login("aNn", "wrong horse"))
        assert len(answers) < 15
    status, wait = answers[-1]
    assert status == 429 and 1 <= wait <= 60
    # Others do not wait, and the right password works after it.
    assert login("bo", "wrong horse") == [401, 0]
    while (found := login("ann", "correct horse"))[0] == 429:
        page.wait_for_timeout(500)
    assert found[0] == 200
    page.reload()
    board.sees("dashboard session", "tbody")
