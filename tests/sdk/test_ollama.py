"""Ollama's SDK as oracle: what it sends for a logical request, Hale sends for the same request of an OpenAI or an Anthropic
client, and what it reads from an answer, they read through Hale."""

import base64
import json
import struct

import ollama
import pytest

from gateway import deployment
from upstream import Plan, reply, sse

MODEL = "llama3.1:8b"
THINKER = "qwen3:8b"
WORDS = "gpt-oss:20b"
IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
ANTHROPIC_TOOLS = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]


def user(words, **more):
    return {"role": "user", "content": words, **more}


def called(city):
    return {"function": {"name": "weather", "arguments": {"city": city}}}


def function(id, city):
    return {"id": id, "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


def tool_use(id, city):
    return {"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}}


#: One logical request: the model, the words of OpenAI's SDK, of Anthropic's, and of Ollama's.
LOGICAL = {
    "text": (
        MODEL,
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [user("hi")], "options": {"num_predict": 10}}),
    "system and sampling": (
        MODEL,
        {"messages": [{"role": "system", "content": "Be brief."}, user("hi")], "max_tokens": 10,
         "temperature": 0.3, "top_p": 0.9, "stop": ["END", "STOP"]},
        {"system": "Be brief.", "messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"temperature": 0.3, "top_p": 0.9}, "stop_sequences": ["END", "STOP"]},
        {"messages": [{"role": "system", "content": "Be brief."}, user("hi")],
         "options": {"num_predict": 10, "temperature": 0.3, "top_p": 0.9, "stop": ["END", "STOP"]}}),
    "an image": (
        MODEL,
        {"messages": [user([{"type": "text", "text": "what?"},
                            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}])],
         "max_tokens": 10},
        {"messages": [user([{"type": "text", "text": "what?"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}])],
         "max_tokens": 10},
        {"messages": [user("what?", images=[IMAGE])], "options": {"num_predict": 10}}),
    "tools": (
        MODEL,
        {"messages": [user("weather?")], "max_tokens": 10, "tools": [TOOL], "tool_choice": "auto"},
        {"messages": [user("weather?")], "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        {"messages": [user("weather?")], "tools": [TOOL], "options": {"num_predict": 10}}),
    "results of parallel calls": (
        MODEL,
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": "Let me look.",
                       "tool_calls": [function("t1", "Paris"), function("t2", "Oslo")]},
                      {"role": "tool", "tool_call_id": "t1", "content": "15"},
                      {"role": "tool", "tool_call_id": "t2", "content": "3"}],
         "max_tokens": 10, "tools": [TOOL]},
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": [
                          {"type": "text", "text": "Let me look."}, tool_use("t1", "Paris"), tool_use("t2", "Oslo")]},
                      user([{"type": "tool_result", "tool_use_id": "t1", "content": "15"},
                            {"type": "tool_result", "tool_use_id": "t2", "content": "3"}])],
         "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": "Let me look.", "tool_calls": [called("Paris"), called("Oslo")]},
                      {"role": "tool", "tool_name": "weather", "content": "15"},
                      {"role": "tool", "tool_name": "weather", "content": "3"}],
         "tools": [TOOL], "options": {"num_predict": 10}}),
    "a schema": (
        MODEL,
        {"messages": [user("hi")], "max_tokens": 10, "response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        {"messages": [user("hi")], "max_tokens": 10, "output_config": {
            "format": {"type": "json_schema", "schema": SCHEMA}}},
        {"messages": [user("hi")], "format": SCHEMA, "options": {"num_predict": 10}}),
    "thinking": (
        THINKER,
        {"messages": [user("hi")], "max_tokens": 9000, "reasoning_effort": "low"},
        {"messages": [user("hi")], "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"messages": [user("hi")], "think": True, "options": {"num_predict": 9000}}),
    "thinking in words": (
        WORDS,
        {"messages": [user("hi")], "max_tokens": 90000, "reasoning_effort": "high"},
        {"messages": [user("hi")], "max_tokens": 90000, "thinking": {"type": "enabled", "budget_tokens": 12000}},
        {"messages": [user("hi")], "think": "high", "options": {"num_predict": 90000}}),
    "its own words": (
        MODEL,
        {"messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"num_ctx": 8192, "options": {"mirostat": 1}, "keep_alive": "5m"}},
        {"messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"num_ctx": 8192, "options": {"mirostat": 1}, "keep_alive": "5m"}},
        {"messages": [user("hi")], "keep_alive": "5m",
         "options": {"num_predict": 10, "num_ctx": 8192, "mirostat": 1}}),
}


def made(message, **more):
    """An object of Ollama's with this message."""
    return {"model": MODEL, "created_at": "2026-11-28T10:00:00.123456789Z",
            "message": {"role": "assistant", "content": "", **message}, "done": False, **more}


def whole(**message):
    return made(message, done=True, done_reason="stop", total_duration=5, prompt_eval_count=11, eval_count=8)


ANSWER = whole(thinking="Hm.", content="Let me look.", tool_calls=[called("Paris"), called("Oslo")])


def lines(answer):
    """The same as a stream: each half of the text, each call, the end."""
    message = answer["message"]
    pieces = [{"thinking": message.get("thinking", "")}]
    pieces += [{"content": piece} for piece in (message["content"][:4], message["content"][4:])]
    pieces += [{"tool_calls": [one]} for one in message.get("tool_calls", [])]
    for piece in pieces:
        yield json.dumps(made(piece)).encode() + b"\n"
    yield json.dumps({**answer, "message": {"role": "assistant", "content": ""}}).encode() + b"\n"


def answers(answer, stream):
    return sse(*lines(answer)) if stream else reply(answer)


def entry(up, model=MODEL):
    return deployment("smart", model=f"ollama_chat/{model}", api_base=up.url)


def by_ollama(up, model, asked, stream):
    got = ollama.Client(host=up.url).chat(model=model, stream=stream, **asked)
    return list(got) if stream else [got]


def by_client(client, gateway, request, stream):
    if client == "anthropic":
        got = gateway.anthropic_client().messages.create(model="smart", stream=stream, **request)
    else:
        got = gateway.client().chat.completions.create(model="smart", stream=stream, **request)
    return list(got) if stream else [got]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", LOGICAL)
def test_ollama_is_asked_as_its_own_sdk_asks_it(hale, upstream, client, name, stream):
    model, chat, messages, own = LOGICAL[name]
    up = upstream(Plan(then=answers(whole(content="hi"), stream)))
    gateway = hale(entry(up, model))
    by_ollama(up, model, own, stream)
    by_client(client, gateway, dict(messages if client == "anthropic" else chat), stream)
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    # The SDK writes what it was not told as an empty list.
    theirs = {key: value for key, value in oracle.json.items() if value != []}
    assert ours.json == theirs


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_openai_client_reads_from_hale_what_ollamas_sdk_reads(hale, upstream, stream):
    up = upstream(Plan(then=answers(ANSWER, stream)))
    gateway = hale(entry(up))
    read = by_ollama(up, MODEL, {"messages": [user("hi")]}, stream)
    texts = "".join(one.message.content or "" for one in read)
    thoughts = "".join(one.message.thinking or "" for one in read)
    calls = [(call.function.name, dict(call.function.arguments))
             for one in read for call in one.message.tool_calls or []]
    request = {"messages": [user("hi")], "tools": [TOOL]}
    if stream:
        request["stream_options"] = {"include_usage": True}
    got = by_client("openai", gateway, request, stream)
    pieces = [choice.delta if stream else choice.message for one in got for choice in one.choices]
    assert "".join(piece.content or "" for piece in pieces) == texts == "Let me look."
    assert "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces) == thoughts == "Hm."
    named, arguments, ids = [], {}, set()
    for piece in pieces:
        for at, one in enumerate(piece.tool_calls or []):
            index = getattr(one, "index", None)
            index = at if index is None else index
            if one.id:
                named.append(one.function.name)
                ids.add(one.id)
            arguments[index] = arguments.get(index, "") + (one.function.arguments or "")
    assert [(name, json.loads(arguments[at])) for at, name in enumerate(named)] == calls
    assert len(ids) == len(calls) == 2
    finishes = [choice.finish_reason for one in got for choice in one.choices if choice.finish_reason]
    assert finishes == ["tool_calls"]
    usage = [one.usage for one in got if one.usage][-1]
    assert (usage.prompt_tokens, usage.completion_tokens) == (read[-1].prompt_eval_count, read[-1].eval_count)


def test_an_anthropic_client_reads_the_same_content(hale, upstream):
    up = upstream(Plan(then=reply(ANSWER)))
    gateway = hale(entry(up))
    request = {"messages": [user("hi")], "max_tokens": 99, "tools": ANTHROPIC_TOOLS}
    [got] = by_client("anthropic", gateway, request, False)
    assert [block.type for block in got.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert got.content[1].text == "Let me look."
    assert [block.input for block in got.content[2:]] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert got.stop_reason == "tool_use"
    assert (got.usage.input_tokens, got.usage.output_tokens) == (11, 8)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_asked_and_read_as_ollamas_sdk_does(hale, upstream, form):
    embedded = {"model": "e", "embeddings": [[0.25, -0.5], [1.5, 3]], "prompt_eval_count": 4}
    up = upstream(Plan(then=reply(embedded)))
    gateway = hale(entry(up, "nomic-embed-text"))
    read = ollama.Client(host=up.url).embed(model="nomic-embed-text", input=["a", "b"], dimensions=2)
    got = gateway.client().embeddings.create(model="smart", input=["a", "b"], dimensions=2, encoding_format=form)
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    assert ours.json == oracle.json
    values = [one.embedding for one in got.data]
    if form == "base64":
        values = [list(struct.unpack("<2f", base64.b64decode(one))) for one in values]
    assert values == [list(one) for one in read.embeddings]
    assert got.usage.prompt_tokens == read.prompt_eval_count
