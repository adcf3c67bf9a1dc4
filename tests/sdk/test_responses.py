"""Responses: the official clients ask Hale as they ask their provider, and read from it what they read there."""

import json
import re

import openai
import pytest

from gateway import deployment
from upstream import CUT, Plan, UPSTREAM_MODEL, error, reply, sse

KEY = "sk-upstream-secret"
VERSION = "2025-04-01-preview"
#: The provider's id of every response that is made here.
ID = "resp_67cb0001"
WEATHER = {"type": "function", "name": "get_weather", "strict": False,
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


def body(text="Hello world", id=ID, status="completed", previous=None):
    output = [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
               "content": [{"type": "output_text", "text": text, "annotations": []}]}]
    done = status == "completed"
    return {"id": id, "object": "response", "created_at": 1700000000, "status": status, "error": None,
            "incomplete_details": None, "instructions": None, "model": UPSTREAM_MODEL, "metadata": {},
            "output": output if done else [], "parallel_tool_calls": True, "temperature": 1.0,
            "previous_response_id": previous, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
                      "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 1},
                      "total_tokens": 15} if done else None}


def numbered(*events):
    return [f"event: {one['type']}\ndata: {json.dumps({**one, 'sequence_number': i})}\n\n".encode()
            for i, one in enumerate(events)]


def created():
    return {"type": "response.created", "response": body(status="in_progress")}


def delta(text):
    return {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
            "delta": text, "logprobs": []}


def events():
    item = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    whole = body()["output"][0]
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return numbered(
        created(), {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part}, delta("Hello"), delta(" world"),
        {"type": "response.output_text.done", **place, "text": "Hello world", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": whole["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {"type": "response.completed", "response": body()})


def answer(exchange):
    """A provider in good health, which has every response that it is asked about."""
    request = exchange.request
    path, _, query = request.path.partition("?")
    below = re.search(r"/responses(?:/([^/]+))?(?:/([^/]+))?$", path)
    assert below, path
    first, second = below.groups()
    if request.method == "POST" and first == "input_tokens":
        reply({"object": "response.input_tokens", "input_tokens": 42})(exchange)
    elif request.method == "POST" and first == "compact":
        reply({"id": ID, "object": "response.compaction", "created_at": 1700000000, "output": [],
               "usage": body()["usage"]})(exchange)
    elif request.method == "POST" and first is None:
        asked = request.json
        if asked.get("stream"):
            sse(*events())(exchange)
        else:
            reply(body(previous=asked.get("previous_response_id")))(exchange)
    elif request.method == "DELETE":
        reply({"id": first, "object": "response", "deleted": True})(exchange)
    elif second == "input_items":
        reply({"object": "list", "data": [{"id": "msg_0", "type": "message", "role": "user", "status": "completed",
                                           "content": [{"type": "input_text", "text": "hi"}]}],
               "first_id": "msg_0", "last_id": "msg_0", "has_more": False})(exchange)
    elif "stream=true" in query:
        sse(*events())(exchange)
    else:
        reply(body(id=first, status="cancelled" if second == "cancel" else "completed"))(exchange)


def direct(up, **options):
    return openai.OpenAI(base_url=f"{up.url}/v1", api_key=KEY, max_retries=0, timeout=20, **options)


CREATE = {
    "a text": {"input": "hi", "instructions": "Be brief.", "max_output_tokens": 50, "temperature": 0.3},
    "items and tools": {"input": [{"role": "user", "content": [{"type": "input_text", "text": "weather?"}]}],
                        "tools": [WEATHER], "tool_choice": "required", "store": False,
                        "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}},
    "a schema": {"input": "hi", "reasoning": {"effort": "low", "summary": "auto"}, "text": {
        "format": {"type": "json_schema", "name": "x", "schema": {"type": "object", "properties": {}}}}},
    "in the background": {"input": "hi", "background": True},
}

#: What one can do with a response, by its id.
BY_ID = {
    "retrieve": lambda client, id: client.responses.retrieve(id, include=["reasoning.encrypted_content"]),
    "retrieve as a stream": lambda client, id: list(client.responses.retrieve(id, stream=True, starting_after=0)),
    "cancel": lambda client, id: client.responses.cancel(id),
    "input items": lambda client, id: list(client.responses.input_items.list(id, limit=5, order="asc")),
    "go on": lambda client, id: client.responses.create(model="smart", input="more", previous_response_id=id),
    "count": lambda client, id: client.responses.input_tokens.count(model="smart", previous_response_id=id),
    "compact": lambda client, id: client.responses.compact(model="smart", previous_response_id=id, input="x"),
    "delete": lambda client, id: client.responses.delete(id),
}


def asked(request):
    sent = request.json if request.body else None
    if sent:
        sent.pop("model", None)
    return request.method, request.path, request.header("authorization"), sent


def unnamed(value):
    """Without what the gateway changes: the model's name, and the ids of responses."""
    if isinstance(value, list):
        return [unnamed(one) for one in value]
    if isinstance(value, dict):
        return {key: unnamed(one) for key, one in value.items() if key != "model"}
    if isinstance(value, str) and value.startswith("resp_"):
        return "resp_"
    return value


def dumped(said):
    return unnamed([one.model_dump() for one in said] if isinstance(said, list) else
                   said.model_dump() if said is not None else None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", CREATE)
def test_the_provider_is_asked_and_read_as_by_its_own_sdk(hale, upstream, name, stream):
    up = upstream(Plan(then=answer))
    gateway = hale(deployment("smart", up, model="openai/gpt-5-mini", api_key=KEY))

    def say(client, model):
        said = client.responses.create(model=model, stream=stream, **CREATE[name])
        return list(said) if stream else said

    theirs, ours = say(direct(up), "gpt-5-mini"), say(gateway.client(), "smart")
    oracle, sent = up.requests
    assert asked(sent) == asked(oracle) and sent.json["model"] == "gpt-5-mini"
    assert dumped(ours) == dumped(theirs)
    last = ours[-1].response if stream else ours
    assert last.model == "smart" and last.output_text == "Hello world" and last.id != ID


@pytest.mark.parametrize("call", BY_ID.values(), ids=BY_ID)
def test_what_is_about_a_response_asks_who_made_it(hale, upstream, call):
    one, two = upstream(Plan(then=answer)), upstream(Plan(then=answer))
    gateway = hale(deployment("smart", one, id="one", api_key=KEY), deployment("smart", two, id="two", api_key=KEY))
    client = gateway.client()
    for _ in range(4):
        made = client.responses.with_raw_response.create(model="smart", input="hi")
        issuer = {"one": one, "two": two}[made.headers["x-litellm-model-id"]]
        before = len(one.requests) + len(two.requests)
        ours = call(client, made.parse().id)
        assert len(one.requests) + len(two.requests) == before + 1
        sent = issuer.requests[-1]
        theirs = call(direct(issuer), ID)
        assert asked(sent) == asked(issuer.requests[-1])
        assert dumped(ours) == dumped(theirs)
        issuer.requests.pop()


def test_ids_that_are_not_the_gateways_are_refused(hale, upstream):
    up = upstream(Plan(then=answer))
    client = hale(deployment("smart", up, api_key=KEY)).client()
    with pytest.raises(openai.NotFoundError, match="is not the id of a response that this gateway issued"):
        client.responses.retrieve(ID)
    with pytest.raises(openai.BadRequestError, match="is not the id of a response that this gateway issued"):
        client.responses.create(model="smart", input="hi", previous_response_id=ID)
    assert up.requests == []


def test_a_stream_moves_on_until_its_first_content_and_breaks_openly_after_it(hale, upstream):
    failed = numbered(created(), {"type": "response.failed", "response": {
        **body(status="failed"), "error": {"code": "server_error", "message": "no"}}})
    plan = Plan(sse(*failed), then=answer)
    one, two = upstream(plan), upstream(plan)
    client = hale(deployment("smart", one, api_key=KEY), deployment("smart", two, api_key=KEY)).client()
    with client.responses.stream(model="smart", input="hi") as stream:
        assert stream.get_final_response().output_text == "Hello world"
    assert len(one.requests) == len(two.requests) == 1
    lone = upstream(Plan(then=sse(*numbered(created(), delta("Hello")), CUT)))
    client = hale(deployment("smart", lone, api_key=KEY)).client()
    with pytest.raises(openai.APIError, match="not complete"):
        list(client.responses.create(model="smart", input="hi", stream=True))


def test_a_providers_refusal_is_an_error_of_the_sdk(hale, upstream):
    up = upstream(Plan(error(400, "Unknown parameter: 'x'.", "invalid_request_error", param="x"), then=answer))
    client = hale(deployment("smart", up, api_key=KEY)).client()
    with pytest.raises(openai.BadRequestError, match="Unknown parameter") as raised:
        client.responses.create(model="smart", input="hi", extra_body={"x": 1})
    assert raised.value.param == "x"


@pytest.mark.parametrize("call", BY_ID)
def test_azure_is_asked_as_by_its_own_client_and_its_client_is_served(hale, upstream, call):
    up = upstream(Plan(then=answer))
    entry = deployment("smart", model="azure/smart", api_key="azure-secret", api_version=VERSION)
    entry["litellm_params"]["api_base"] = up.url
    gateway = hale(entry)
    own = openai.AzureOpenAI(azure_endpoint=up.url, api_version=VERSION, api_key="azure-secret", max_retries=0)
    made = gateway.azure_client().responses.create(model="smart", input="hi")
    theirs, ours = BY_ID[call](own, ID), BY_ID[call](gateway.azure_client(), made.id)

    def sent(request):
        path, _, query = request.path.partition("?")
        return (request.method, path, sorted(query.split("&")), request.header("api-key"),
                request.json if request.body else None)

    oracle, sent_by_us = up.requests[-2:]
    assert sent(sent_by_us) == sent(oracle)
    assert dumped(ours) == dumped(theirs)
