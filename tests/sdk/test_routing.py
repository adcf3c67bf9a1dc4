"""What a client never notices: retries on a sibling, and fallback groups."""

import time

import openai
import pytest

from asking import ask, ask_raw
from gateway import deployment
from upstream import (Plan, answer, bad_key, chat_body, connection_reset, error, html, rate_limited, reply,
                      silence, too_long, unknown_model, wrong_length)

REFUSED = error(400, "Your request was rejected as a result of our safety system.",
                "invalid_request_error", code="content_policy_violation")


def pair(hale, upstream, plan, router=None, **params):
    """A group of two; whichever is asked first gets the plan's first behaviour."""
    a, b = upstream(plan), upstream(plan)
    gateway = hale(deployment("smart", a, id="dep-a", **params),
                   deployment("smart", b, id="dep-b", **params), router=router)
    return gateway, {a: "dep-a", b: "dep-b"}


@pytest.mark.parametrize("failure", [
    pytest.param(error(500), id="500"),
    pytest.param(error(503), id="503"),
    pytest.param(error(529), id="529"),
    pytest.param(rate_limited(30), id="429"),
    pytest.param(connection_reset(), id="reset"),
    pytest.param(html(), id="html"),
    pytest.param(reply({}), id="empty object"),
    pytest.param(reply(b""), id="empty body"),
    pytest.param(reply(b"null"), id="null"),
    pytest.param(reply({"error": {"message": "overloaded", "type": "server_error"}}), id="error under 200"),
    pytest.param(wrong_length(chat_body("half")), id="wrong length"),
    pytest.param(silence(), id="silence"),
])
def test_a_failure_moves_to_the_sibling(hale, upstream, failure):
    plan = Plan(failure, answer("from the sibling"))
    gateway, ids = pair(hale, upstream, plan, timeout=0.5)
    began = time.monotonic()
    raw = ask_raw(gateway)
    assert raw.parse().choices[0].message.content == "from the sibling"
    assert raw.headers["x-litellm-attempted-retries"] == "1"
    assert raw.headers["x-litellm-attempted-fallbacks"] == "0"
    assert len(plan.order) == 2 and plan.order[0] is not plan.order[1]
    assert raw.headers["x-litellm-model-id"] == ids[plan.order[1]]
    assert time.monotonic() - began < 5  # a sibling is asked at once, whatever retry-after says


@pytest.mark.parametrize("failure", [bad_key(), error(403), unknown_model()], ids=["401", "403", "404"])
def test_a_deployment_that_cannot_serve_costs_no_retry(hale, upstream, failure):
    plan = Plan(failure, answer("from the sibling"))
    gateway, _ = pair(hale, upstream, plan, router={"num_retries": 0})
    assert ask(gateway).choices[0].message.content == "from the sibling"
    assert len(plan.order) == 2
    for _ in range(5):
        ask(gateway)
    assert plan.order.count(plan.order[0]) == 1  # it is benched while it has a sibling


def test_a_group_is_asked_once_and_once_per_retry(hale, upstream):
    plan = Plan(then=error(500))
    gateway, _ = pair(hale, upstream, plan, router={"num_retries": 2})
    with pytest.raises(openai.InternalServerError) as failed:
        ask(gateway)
    assert failed.value.status_code == 500
    assert len(plan.order) == 3
    assert plan.order[0] is not plan.order[1]
    attempts = failed.value.body["attempts"]
    assert [(a["model_group"], a["status"], a["cause"]) for a in attempts] == [
        ("smart", 500, "server_error")] * 3
    assert {a["deployment"] for a in attempts} == {"dep-a", "dep-b"}
    assert all("scripted failure" in a["message"] and a["ms"] >= 0 for a in attempts)


@pytest.mark.parametrize("asked", [{"extra_headers": {"x-litellm-num-retries": "0"}},
                                   {"extra_body": {"num_retries": 0}}], ids=["header", "body"])
def test_a_client_may_forbid_retries(hale, upstream, asked):
    plan = Plan(error(500), answer())
    gateway, _ = pair(hale, upstream, plan)
    with pytest.raises(openai.InternalServerError):
        ask(gateway, **asked)
    assert len(plan.order) == 1


def test_a_lone_deployment_is_asked_again(hale, upstream):
    plan = Plan(error(500), answer("second time"))
    raw = ask_raw(hale(deployment("smart", upstream(plan)), router={"num_retries": 1}))
    assert raw.parse().choices[0].message.content == "second time"
    assert raw.headers["x-litellm-attempted-retries"] == "1"


def test_a_failed_group_falls_back_under_the_fallbacks_name(hale, upstream):
    failing, working = upstream(Plan(then=error(500))), upstream(answer("from the fallback"))
    gateway = hale(deployment("smart", failing, id="dep-a"),
                   deployment("cheap", working, id="dep-b", model="openai/gpt-4.1-nano"),
                   router={"num_retries": 0, "fallbacks": [{"smart": ["cheap"]}]})
    raw = ask_raw(gateway)
    assert raw.parse().choices[0].message.content == "from the fallback"
    assert raw.parse().model == "cheap"
    assert raw.headers["x-litellm-model-group"] == "cheap"
    assert raw.headers["x-litellm-model-id"] == "dep-b"
    assert raw.headers["x-litellm-attempted-fallbacks"] == "1"
    assert working.requests[0].json["model"] == "gpt-4.1-nano"
    assert len(failing.requests) == 1


def test_fallbacks_are_tried_in_their_order(hale, upstream):
    plan = Plan(error(500), error(503), answer("third"))
    groups = ["smart", "cheap", "last"]
    ups = [upstream(plan) for _ in groups]
    gateway = hale(*map(deployment, groups, ups),
                   router={"num_retries": 0, "fallbacks": [{"smart": ["cheap", "last"]}]})
    raw = ask_raw(gateway)
    assert raw.parse().model == "last"
    assert raw.headers["x-litellm-attempted-fallbacks"] == "2"
    assert plan.order == ups


def test_when_fallbacks_fail_too_the_first_groups_error_names_every_group(hale, upstream):
    gateway = hale(deployment("smart", upstream(error(503, "first is down"))),
                   deployment("cheap", upstream(error(500, "second is down"))),
                   router={"num_retries": 0, "fallbacks": [{"smart": ["cheap"]}]})
    with pytest.raises(openai.InternalServerError) as failed:
        ask(gateway)
    assert failed.value.status_code == 503
    assert failed.value.body["reason"] == "fallbacks_exhausted"
    assert "first is down" in failed.value.body["message"]
    assert "smart" in failed.value.body["message"] and "cheap" in failed.value.body["message"]
    assert [(a["model_group"], a["status"]) for a in failed.value.body["attempts"]] == [
        ("smart", 503), ("cheap", 500)]


def test_a_client_may_name_its_own_fallbacks(hale, upstream):
    working = upstream()
    gateway = hale(deployment("smart", upstream(error(500))), deployment("cheap", working),
                   router={"num_retries": 0})
    assert ask(gateway, extra_body={"fallbacks": ["cheap"]}).model == "cheap"
    assert "fallbacks" not in working.requests[0].json


def test_default_fallbacks_save_an_unknown_model(hale, upstream):
    gateway = hale(deployment("cheap", upstream()), litellm={"default_fallbacks": ["cheap"]})
    raw = ask_raw(gateway, model="no-such-model")
    assert raw.parse().model == "cheap"
    assert raw.headers["x-litellm-model-group"] == "cheap"


def test_default_fallbacks_save_any_group(hale, upstream):
    gateway = hale(deployment("smart", upstream(error(500))), deployment("cheap", upstream()),
                   litellm={"default_fallbacks": ["cheap"]}, router={"num_retries": 0})
    assert ask(gateway).model == "cheap"


@pytest.mark.parametrize("lists, served", [
    ({"context_window_fallbacks": [{"smart": ["big"]}],
                  "fallbacks": [{"smart": ["cheap"]}]}, "big"),
    ({"fallbacks": [{"smart": ["cheap"]}]}, "cheap"),
], ids=["its own list", "else the general one"])
def test_a_prompt_that_is_too_long_takes_a_fallback(hale, upstream, lists, served):
    plan = Plan(too_long(), answer())
    a, b = upstream(plan), upstream(plan)
    gateway = hale(deployment("smart", a), deployment("smart", b),
                   deployment("big", upstream()), deployment("cheap", upstream()), router=lists)
    assert ask(gateway).model == served
    assert len(plan.order) == 1  # the sibling would say the same


@pytest.mark.parametrize("lists, served", [
    ({"content_policy_fallbacks": [{"smart": ["mild"]}],
                  "fallbacks": [{"smart": ["cheap"]}]}, "mild"),
    ({"fallbacks": [{"smart": ["cheap"]}]}, None),
], ids=["its own list", "never the general one"])
def test_a_policy_refusal_takes_only_its_own_fallbacks(hale, upstream, lists, served):
    cheap = upstream()
    gateway = hale(deployment("smart", upstream(REFUSED)), deployment("mild", upstream()),
                   deployment("cheap", cheap), router=lists)
    if served is not None:
        assert ask(gateway).model == served
    else:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(gateway)
        assert "safety system" in refused.value.body["message"]
    assert cheap.requests == []


def test_a_deployment_id_is_a_model_name_for_that_deployment_alone(hale, upstream):
    gateway, ids = pair(hale, upstream, plan := Plan())
    for _ in range(4):
        raw = ask_raw(gateway, model="dep-b")
        assert raw.headers["x-litellm-model-id"] == "dep-b"
        assert raw.parse().model == "dep-b"
    assert {ids[up] for up in plan.order} == {"dep-b"}
