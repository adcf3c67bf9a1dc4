"""Google's SDK as oracle: what it sends for a logical request, Hale sends for the same request of an OpenAI or an Anthropic
client, and what it reads from an answer, they read through Hale."""

import base64
import json
import struct

import pytest
from google import genai
from google.genai import types

from gateway import deployment
from upstream import Plan, reply, sse

KEY = "AIza-oracle-0123456789"
MODEL = "gemini-2.5-flash"
NEWER = "gemini-3-pro-preview"
PNG = b"\x89PNG\r\n\x1a\n"
IMAGE = base64.b64encode(PNG).decode()
SIGNATURE = base64.b64encode(b"a signature of some bytes \xff\xfe").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
TOOLS = [types.Tool(function_declarations=[
    types.FunctionDeclaration(name="weather", description="d", parameters_json_schema=SCHEMA)])]


def content(role, *parts):
    return types.Content(role=role, parts=list(parts))


def text(words):
    return types.Part(text=words)


def call(city, signature=None, id=None):
    part = types.Part(function_call=types.FunctionCall(name="weather", args={"city": city}, id=id))
    if signature:
        part.thought_signature = base64.b64decode(signature)
    return part


def result(response, id=None):
    return types.Part(function_response=types.FunctionResponse(name="weather", response=response, id=id))


def user(words):
    return {"role": "user", "content": words}


def tail(signature):
    return "__thought__" + signature.rstrip("=").replace("+", "-").replace("/", "_")


def tool_use(id, city):
    return {"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}}


def function(id, city):
    return {"id": id, "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


#: One logical request: the model, the words of OpenAI's SDK, of Anthropic's, and of Google's (contents and config).
LOGICAL = {
    "text": (
        MODEL,
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [user("hi")], "max_tokens": 10},
        ("hi", {"max_output_tokens": 10})),
    "system and sampling": (
        MODEL,
        {"messages": [{"role": "system", "content": "Be brief."}, user("hi")], "max_tokens": 10,
         "temperature": 0.3, "top_p": 0.9, "stop": ["END", "STOP"]},
        {"system": "Be brief.", "messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"temperature": 0.3, "top_p": 0.9}, "stop_sequences": ["END", "STOP"]},
        ("hi", {"system_instruction": content(None, text("Be brief.")), "max_output_tokens": 10,
                "temperature": 0.3, "top_p": 0.9, "stop_sequences": ["END", "STOP"]})),
    "an image": (
        MODEL,
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}]}], "max_tokens": 10},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}]}],
         "max_tokens": 10},
        ([content("user", text("what?"), types.Part.from_bytes(data=PNG, mime_type="image/png"))],
         {"max_output_tokens": 10})),
    "tools": (
        MODEL,
        {"messages": [user("weather?")], "max_tokens": 10, "tools": OPENAI_TOOLS,
         "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"messages": [user("weather?")], "max_tokens": 10, "tools": ANTHROPIC_TOOLS,
         "tool_choice": {"type": "tool", "name": "weather"}},
        ("weather?", {"max_output_tokens": 10, "tools": TOOLS, "tool_config": {
            "function_calling_config": {"mode": "ANY", "allowed_function_names": ["weather"]}}})),
    "results of parallel calls": (
        MODEL,
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": "Let me look.",
                       "tool_calls": [function("t1", "Paris"), function("t2", "Oslo")]},
                      {"role": "tool", "tool_call_id": "t2", "content": "3"},
                      {"role": "tool", "tool_call_id": "t1", "content": '{"degrees": 15}'}],
         "max_tokens": 10, "tools": OPENAI_TOOLS},
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": [
                          {"type": "text", "text": "Let me look."}, tool_use("t1", "Paris"), tool_use("t2", "Oslo")]},
                      {"role": "user", "content": [
                          {"type": "tool_result", "tool_use_id": "t2", "content": "3"},
                          {"type": "tool_result", "tool_use_id": "t1", "content": '{"degrees": 15}'}]}],
         "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        ([content("user", text("weather?")),
          content("model", text("Let me look."), call("Paris"), call("Oslo")),
          content("user", result({"degrees": 15}), result({"output": "3"}))],
         {"max_output_tokens": 10, "tools": TOOLS})),
    "a signature": (
        NEWER,
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": None,
                       "tool_calls": [function("own-1" + tail(SIGNATURE), "Paris"), function("own-2", "Oslo")]},
                      {"role": "tool", "tool_call_id": "own-1" + tail(SIGNATURE), "content": "15"},
                      {"role": "tool", "tool_call_id": "own-2", "content": "3"}],
         "max_tokens": 10, "tools": OPENAI_TOOLS},
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": [
                          tool_use("own-1" + tail(SIGNATURE), "Paris"), tool_use("own-2", "Oslo")]},
                      {"role": "user", "content": [
                          {"type": "tool_result", "tool_use_id": "own-1" + tail(SIGNATURE), "content": "15"},
                          {"type": "tool_result", "tool_use_id": "own-2", "content": "3"}]}],
         "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        ([content("user", text("weather?")),
          content("model", call("Paris", SIGNATURE, "own-1"), call("Oslo", id="own-2")),
          content("user", result({"output": "15"}, "own-1"), result({"output": "3"}, "own-2"))],
         {"max_output_tokens": 10, "tools": TOOLS})),
    "a schema": (
        MODEL,
        {"messages": [user("hi")], "max_tokens": 10, "response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        {"messages": [user("hi")], "max_tokens": 10, "output_config": {
            "format": {"type": "json_schema", "schema": SCHEMA}}},
        ("hi", {"max_output_tokens": 10, "response_mime_type": "application/json",
                "response_json_schema": SCHEMA})),
    "a budget of thoughts": (
        MODEL,
        {"messages": [user("hi")], "max_tokens": 9000,
         "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2048}}},
        {"messages": [user("hi")], "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}},
        ("hi", {"max_output_tokens": 9000, "thinking_config": {"thinking_budget": 2048, "include_thoughts": True}})),
}


def candidate(*parts, finish="STOP"):
    """An answer of Google's with these parts."""
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}],
            "usageMetadata": {"promptTokenCount": 11, "cachedContentTokenCount": 4, "candidatesTokenCount": 5,
                              "thoughtsTokenCount": 3, "totalTokenCount": 19},
            "modelVersion": MODEL, "responseId": "r-1"}


ANSWER = candidate(
    {"text": "Hm.", "thought": True}, {"text": "Let me "}, {"text": "look."},
    {"functionCall": {"id": "own-1", "name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": SIGNATURE},
    {"functionCall": {"id": "own-2", "name": "weather", "args": {"city": "Oslo"}}})


def chunks(answer):
    """The same as a stream: a part in each event, the end in one of its own."""
    parts = answer["candidates"][0]["content"]["parts"]
    for part in parts:
        yield {**answer, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}],
               "usageMetadata": {"promptTokenCount": 11, "totalTokenCount": 11}}
    yield {**answer, "candidates": [{"content": {"role": "model", "parts": [{"text": ""}]},
                                     "finishReason": answer["candidates"][0]["finishReason"], "index": 0}]}


def answers(answer, stream):
    return sse(*chunks(answer)) if stream else reply(answer)


def google(up):
    """Google's SDK, pointed at the provider itself."""
    options = types.HttpOptions(base_url=up.url, api_version="v1beta")
    return genai.Client(api_key=KEY, http_options=options)


def entry(up, model=MODEL):
    return deployment("smart", model=f"gemini/{model}", api_key=KEY, api_base=up.url)


def by_google(up, model, asked, stream):
    contents, config = asked
    # The SDK closes a client that is no longer held.
    client = google(up)
    models = client.models
    config = types.GenerateContentConfig(**config, automatic_function_calling={"disable": True})
    if stream:
        return list(models.generate_content_stream(model=model, contents=contents, config=config))
    return [models.generate_content(model=model, contents=contents, config=config)]


def by_client(client, gateway, request, stream):
    if client == "anthropic":
        got = gateway.anthropic_client().messages.create(model="smart", stream=stream, **request)
    else:
        got = gateway.client().chat.completions.create(model="smart", stream=stream, **request)
    return list(got) if stream else [got]


def camel(name):
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def normal(body):
    """Google's SDK writes data in base64 for URLs, and names in two ways; Google reads both."""
    def walk(value, key=""):
        if isinstance(value, dict):
            return {camel(name): walk(inner, camel(name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        if key in ("data", "thoughtSignature"):
            return value.replace("-", "+").replace("_", "/")
        return value

    body = walk(body)
    # Who gives instructions is not said, or is the user.
    body.get("systemInstruction", {}).pop("role", None)
    return body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", LOGICAL)
def test_google_is_asked_as_its_own_sdk_asks_it(hale, upstream, client, name, stream):
    model, chat, messages, own = LOGICAL[name]
    up = upstream(Plan(then=answers(candidate({"text": "hi"}), stream)))
    gateway = hale(entry(up, model))
    by_google(up, model, own, stream)
    by_client(client, gateway, dict(messages if client == "anthropic" else chat), stream)
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    assert ours.header("x-goog-api-key") == oracle.header("x-goog-api-key") == KEY
    assert ours.header("authorization") is None
    assert normal(ours.json) == normal(oracle.json)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_openai_client_reads_from_hale_what_googles_sdk_reads(hale, upstream, stream):
    up = upstream(Plan(then=answers(ANSWER, stream)))
    gateway = hale(entry(up))
    read = by_google(up, MODEL, ("hi", {}), stream)
    parts = [part for one in read for part in one.candidates[0].content.parts]
    texts = "".join(part.text for part in parts if part.text and not part.thought)
    thoughts = "".join(part.text for part in parts if part.text and part.thought)
    calls = [(part.function_call.name, part.function_call.args) for part in parts if part.function_call]
    signed = [base64.b64encode(part.thought_signature).decode() for part in parts if part.thought_signature]
    counted = read[-1].usage_metadata
    request = {"messages": [user("hi")], "tools": OPENAI_TOOLS}
    if stream:
        request["stream_options"] = {"include_usage": True}
    got = by_client("openai", gateway, request, stream)
    pieces = [choice.delta if stream else choice.message for one in got for choice in one.choices]
    assert "".join(piece.content or "" for piece in pieces) == texts == "Let me look."
    assert "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces) == thoughts == "Hm."
    named, arguments, tails = [], {}, []
    for piece in pieces:
        for at, one in enumerate(piece.tool_calls or []):
            index = getattr(one, "index", None)
            index = at if index is None else index
            if one.id:
                named.append(one.function.name)
                tails.append(one.id.partition("__thought__")[2])
            arguments[index] = arguments.get(index, "") + (one.function.arguments or "")
    assert [(name, json.loads(arguments[at])) for at, name in enumerate(named)] == calls
    assert [one for one in tails if one] == [tail(one).removeprefix("__thought__") for one in signed]
    finishes = [choice.finish_reason for one in got for choice in one.choices if choice.finish_reason]
    assert finishes == ["tool_calls"]
    usage = [one.usage for one in got if one.usage][-1]
    assert usage.prompt_tokens == counted.prompt_token_count
    assert usage.prompt_tokens_details.cached_tokens == counted.cached_content_token_count
    assert usage.completion_tokens == counted.candidates_token_count + counted.thoughts_token_count
    assert usage.completion_tokens_details.reasoning_tokens == counted.thoughts_token_count


def test_an_anthropic_client_reads_the_same_content(hale, upstream):
    up = upstream(Plan(then=reply(ANSWER)))
    gateway = hale(entry(up))
    request = {"messages": [user("hi")], "max_tokens": 99, "tools": ANTHROPIC_TOOLS}
    [got] = by_client("anthropic", gateway, request, False)
    assert [block.type for block in got.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert got.content[1].text == "Let me look."
    assert [block.input for block in got.content[2:]] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert got.stop_reason == "tool_use"
    assert (got.usage.input_tokens, got.usage.cache_read_input_tokens, got.usage.output_tokens) == (7, 4, 8)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_asked_and_read_as_googles_sdk_does(hale, upstream, form):
    embeddings = {"embeddings": [{"values": [0.25, -0.5]}, {"values": [1.5, 3]}]}
    up = upstream(Plan(then=reply(embeddings)))
    gateway = hale(entry(up, "gemini-embedding-001"))
    config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
    sdk = google(up)
    read = sdk.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=config)
    client = gateway.client()
    got = client.embeddings.create(model="smart", input=["a", "b"], dimensions=2, encoding_format=form,
                                   extra_body={"input_type": "search_query"})
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    for one, other in zip(ours.json["requests"], oracle.json["requests"], strict=True):
        # Who says a text that is embedded makes no difference.
        other["content"].pop("role", None)
        assert one == other
    values = [one.embedding for one in got.data]
    if form == "base64":
        values = [list(struct.unpack("<2f", base64.b64decode(one))) for one in values]
    assert values == [one.values for one in read.embeddings]


def test_tokens_are_counted_by_google(hale, upstream):
    up = upstream(Plan(then=reply({"totalTokens": 31})))
    gateway = hale(entry(up))
    sdk = google(up)
    read = sdk.models.count_tokens(model=MODEL, contents="hi")
    got = gateway.anthropic_client().messages.count_tokens(model="smart", messages=[user("hi")])
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    # Hale asks in the form that has instructions and tools, which this SDK refuses at this address.
    assert ours.json["generateContentRequest"]["contents"] == oracle.json["contents"]
    assert got.input_tokens == read.total_tokens == 31
