"""Models and credentials that an operator makes in the dashboard, by keyboard alone."""

from gateway import deployment
from test_health import chat
from test_keys import confirm, fill, press


def test_a_model_is_made_with_a_credential_serves_and_is_deleted(hale, upstream, dashboard):
    plan = upstream()
    gateway = hale(deployment("m", upstream(), id="a"), general={"store_model_in_db": True})
    board = dashboard(gateway).sign_in("models")
    page = board.page
    press(page, "New credential")
    fill(page, "Name", "shared")
    fill(page, "Address", f"{plan.url}/v1")
    fill(page, "API key", "sk-of-the-store-0123")
    page.keyboard.press("Enter")
    board.sees("The credential shared was made.", "#toast")
    board.sees("shared", "[data-key=stored]")
    press(page, "New model")
    fill(page, "Model group", "late <b>")
    fill(page, "Provider and model", "openai/gpt-4o-mini")
    fill(page, "Credential", "shared")
    fill(page, "Id", "mine")
    page.keyboard.press("Enter")
    board.sees("The model late <b> was made.", "#toast")
    board.sees("late <b>", "[data-key=table]")
    assert page.locator("main b").count() == 0 and "sk-of-the-store" not in page.content()
    chat(gateway, "late <b>")
    assert plan.requests, "it serves"
    # What is wrong is said at the form, with what was written.
    board.expected += ["400", "409", "422"]
    page.locator("#new-model_name").fill("other")
    page.get_by_role("button", name="Make the model").click()
    board.sees("`litellm_params.model` is missing", "[role=alert]")
    assert page.locator("#new-model_name").input_value() == "other"
    board.open("models?id=mine")
    board.sees("What is known of its model")
    assert board.faults() == []
    press(page, "Delete")
    confirm(board, "Delete mine?", "Delete")
    board.sees("mine is deleted.", "#toast")
    page.get_by_role("button", name="Delete shared").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    page.locator("[data-key=stored]").wait_for(state="detached")
    assert page.locator("[data-key=table] tbody tr").count() == 1


def test_without_the_setting_the_form_says_which_one_is_missing(hale, upstream, dashboard):
    board = dashboard(hale(deployment("m", upstream(), id="a"))).sign_in("models")
    board.expected += ["400", "403", "500"]
    page = board.page
    page.get_by_text("New model").click()
    page.locator("#new-model_name").fill("late")
    page.locator("#new-model").fill("openai/gpt-4o-mini")
    page.get_by_role("button", name="Make the model").click()
    board.sees("store_model_in_db", "[role=alert]")
