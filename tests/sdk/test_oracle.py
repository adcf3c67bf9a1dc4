"""The SDKs as oracle: what they send to a provider, Hale sends for the same logical request, and what they
read from a provider, they read from Hale."""

import anthropic
import openai
import pytest

from claude import ANTHROPIC_TOOLS, CALL, OPENAI_TOOLS, TEXT, THOUGHT, answer, answer_on, deployment_on
from gateway import deployment
from upstream import Plan

KEY = "sk-upstream-secret"
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="

#: A schema as both providers want it. One that leaves more open is closed.
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}
#: One logical request in the words of either SDK. `max_tokens` is what Anthropic's needs anyway.
LOGICAL = {
    "text": (
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10},
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}),
    "system and sampling": (
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
         "max_tokens": 10, "temperature": 0.3, "top_p": 0.9, "stop": ["END", "STOP"], "user": "u-1"},
        {"system": "Be brief.", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10,
         # Its SDK has no names for these any more; the version of the API that Hale translates to has.
         "extra_body": {"temperature": 0.3, "top_p": 0.9},
         "stop_sequences": ["END", "STOP"], "metadata": {"user_id": "u-1"}}),
    "images": (
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}], "max_tokens": 10},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}],
         "max_tokens": 10}),
    "a PDF": (
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "sum up"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}]}],
         "max_tokens": 10},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "sum up"},
            {"type": "document", "title": "a.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}]}],
         "max_tokens": 10}),
    "tools": (
        {"messages": [{"role": "user", "content": "weather?"}], "max_tokens": 10, "tools": OPENAI_TOOLS,
         "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
         "parallel_tool_calls": False},
        {"messages": [{"role": "user", "content": "weather?"}], "max_tokens": 10, "tools": ANTHROPIC_TOOLS,
         "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}}),
    "tool results": (
        {"messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}},
                {"id": "t2", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "15"},
            {"role": "tool", "tool_call_id": "t2", "content": "3"}],
         "max_tokens": 10, "tools": OPENAI_TOOLS},
        {"messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "t2", "name": "get_weather", "input": {"city": "Oslo"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "15"},
                {"type": "tool_result", "tool_use_id": "t2", "content": "3"}]}],
         "max_tokens": 10, "tools": ANTHROPIC_TOOLS}),
    "a choice of any tool": (
        {"messages": [{"role": "user", "content": "weather?"}], "max_tokens": 10, "tools": OPENAI_TOOLS,
         "tool_choice": "required"},
        {"messages": [{"role": "user", "content": "weather?"}], "max_tokens": 10, "tools": ANTHROPIC_TOOLS,
         "tool_choice": {"type": "any"}}),
    "a choice of no tool": (
        {"messages": [{"role": "user", "content": "weather?"}], "max_tokens": 10, "tools": OPENAI_TOOLS,
         "tool_choice": "none"},
        {"messages": [{"role": "user", "content": "weather?"}], "max_tokens": 10, "tools": ANTHROPIC_TOOLS,
         "tool_choice": {"type": "none"}}),
    "a schema": (
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "response_format": {
            "type": "json_schema", "json_schema": {
                "name": "response", "schema": CLOSED, "strict": True}}},
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "output_config": {
            "format": {"type": "json_schema", "schema": CLOSED}}}),
}


#: What one format's SDK says in words that the other's has not: the request, the wire, and what the provider
#: of that wire must get of it beside what was said in its own words.
ONE_WAY = {
    "reasoning effort": (
        "openai", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8192, "reasoning_effort": "medium"},
        "anthropic", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8192,
                      "thinking": {"type": "enabled", "budget_tokens": 2048}}),
    "a budget of thoughts": (
        "anthropic", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20000,
                      "thinking": {"type": "enabled", "budget_tokens": 10000}},
        "openai", {"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 20000,
                   "reasoning_effort": "high"}),
    "cache control": (
        "openai", {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "short"}]}], "max_tokens": 10},
        "anthropic", {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "short"}]}], "max_tokens": 10}),
    "a failed tool and an image as result": (
        "anthropic", {"messages": [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "t2", "name": "get_weather", "input": {"city": "Oslo"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "no such city", "is_error": True},
                {"type": "tool_result", "tool_use_id": "t2", "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]}]}],
            "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        "openai", {"messages": [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}},
                {"id": "t2", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "Error: no such city"},
            {"role": "tool", "tool_call_id": "t2", "content": "(the result is in the next message)"},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}],
            "max_tokens": 10, "tools": OPENAI_TOOLS}),
}


def direct(wire, up):
    """The SDK of that wire, pointed at the provider itself."""
    if wire == "anthropic":
        return anthropic.Anthropic(base_url=up.url, api_key=KEY, max_retries=0, timeout=20)
    return openai.OpenAI(base_url=f"{up.url}/v1", api_key=KEY, max_retries=0, timeout=20)


def through(wire, gateway):
    """The SDK of that wire, pointed at the gateway."""
    return gateway.anthropic_client() if wire == "anthropic" else gateway.client()


def send(sdk, model, request, stream=False):
    create = sdk.messages.create if isinstance(sdk, anthropic.Anthropic) else sdk.chat.completions.create
    return create(model=model, stream=stream, **request)


def words(wire, name):
    return dict(LOGICAL[name][wire == "anthropic"])


def upstream_model(wire):
    return "claude-sonnet-4-5" if wire == "anthropic" else "gpt-4o-mini"


def said(sdk, model, request, stream):
    """Sends it, and reads a stream to its end."""
    got = send(sdk, model, request, stream)
    return list(got) if stream else [got]


@pytest.mark.parametrize("name", ONE_WAY)
def test_what_only_one_sdk_has_words_for_arrives_as_the_other_would_say_it(hale, upstream, name):
    client, request, wire, expected = ONE_WAY[name]
    up = upstream(Plan(then=answer_on(wire, TEXT)))
    model = "o3-mini" if "reasoning_effort" in expected else upstream_model(wire)
    gateway = hale(deployment("smart", up, model=f"{wire}/{model}", api_key=KEY))
    said(direct(wire, up), model, expected, False)
    said(through(client, gateway), "smart", request, False)
    oracle, ours = up.requests
    assert normal(ours.json) == normal(oracle.json)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", LOGICAL)
def test_the_provider_is_asked_as_its_own_sdk_asks_it(hale, upstream, wire, client, name, stream):
    up = upstream(Plan(then=answer_on(wire, TEXT)))
    gateway = hale(deployment_on(wire, up, api_key=KEY))
    said(direct(wire, up), upstream_model(wire), words(wire, name), stream)
    said(through(client, gateway), "smart", words(client, name), stream)
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    expected, sent = normal(oracle.json), normal(ours.json)
    if stream and wire == "openai":
        # Hale asks for the usage of every stream, for its records.
        assert sent.pop("stream_options") == {"include_usage": True}
    assert sent == expected
    if wire == "openai":
        assert ours.header("authorization") == oracle.header("authorization") == f"Bearer {KEY}"
    else:
        # Bytes that pass are in the client's version; what Hale writes is in the one that it knows.
        version = oracle.header("anthropic-version") if client == "anthropic" else "2023-06-01"
        assert ours.header("anthropic-version") == version
        # Both headers are the provider's documented ones; since 2.0 its SDK prefers the other.
        assert oracle.header("authorization") == f"Bearer {KEY}"
        assert ours.header("x-api-key") == KEY and ours.header("authorization") is None


def normal(body):
    """Two ways of writing one text, and of asking for no stream, are the same."""
    body = {key: value for key, value in body.items() if value is not False or key != "stream"}
    for message in body.get("messages", []):
        if isinstance(message.get("content"), list) and [p["type"] for p in message["content"]] == ["text"]:
            message["content"] = message["content"][0]["text"]
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = call["function"]["arguments"].replace(" ", "")
    return body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_an_sdk_reads_from_hale_what_it_reads_from_its_provider(hale, upstream, wire, stream):
    blocks = (THOUGHT, TEXT, CALL) if wire == "anthropic" else (TEXT, CALL)
    up = upstream(Plan(then=answer_on(wire, *blocks)))
    gateway = hale(deployment_on(wire, up, api_key=KEY))
    request = words(wire, "tools")
    if stream and wire == "openai":
        request["stream_options"] = {"include_usage": True}

    def read(sdk, model):
        said = send(sdk, model, request, stream)
        parts = list(said) if stream else [said]
        return [part.model_dump() for part in parts]

    theirs, ours = read(direct(wire, up), upstream_model(wire)), read(through(wire, gateway), "smart")
    assert unnamed(ours) == unnamed(theirs)


def unnamed(value):
    """Without the one thing that the gateway changes."""
    if isinstance(value, list):
        return [unnamed(one) for one in value]
    if isinstance(value, dict):
        return {key: unnamed(one) for key, one in value.items() if key != "model"}
    return value
