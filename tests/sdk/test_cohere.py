"""Cohere's SDK as oracle: what it sends for a logical request, Hale sends for the same request of an OpenAI or an Anthropic
client, and what it reads from an answer, they read through Hale."""

import base64
import json
import struct

import cohere
import pytest

from gateway import MASTER_KEY, PATIENCE, deployment
from upstream import Plan, reply, sse

KEY = "co-oracle-0123456789"
MODEL = "command-a-reasoning-08-2025"
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]


def user(words):
    return {"role": "user", "content": words}


def function(id, city):
    return {"id": id, "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


def tool_use(id, city):
    return {"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}}


#: One logical request in the words of OpenAI's SDK, of Anthropic's, and of Cohere's.
LOGICAL = {
    "text": (
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [user("hi")], "max_tokens": 10}),
    "system and sampling": (
        {"messages": [{"role": "system", "content": "Be brief."}, user("hi")], "max_tokens": 10,
         "temperature": 0.3, "top_p": 0.9, "stop": ["END"]},
        {"system": "Be brief.", "messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"temperature": 0.3, "top_p": 0.9}, "stop_sequences": ["END"]},
        {"messages": [{"role": "system", "content": "Be brief."}, user("hi")], "max_tokens": 10,
         "temperature": 0.3, "p": 0.9, "stop_sequences": ["END"]}),
    "an image": (
        {"messages": [user([{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}])],
         "max_tokens": 10},
        {"messages": [user([{"type": "text", "text": "what?"}, {"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": PNG.partition(",")[2]}}])], "max_tokens": 10},
        {"messages": [user([{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}])],
         "max_tokens": 10}),
    "a tool that must be called": (
        {"messages": [user("weather?")], "max_tokens": 10, "tools": TOOLS, "tool_choice": "required"},
        {"messages": [user("weather?")], "max_tokens": 10, "tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}},
        {"messages": [user("weather?")], "max_tokens": 10, "tools": TOOLS, "tool_choice": "REQUIRED"}),
    "results of parallel calls": (
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": None,
                       "tool_calls": [function("t1", "Paris"), function("t2", "Oslo")]},
                      {"role": "tool", "tool_call_id": "t1", "content": "15"},
                      {"role": "tool", "tool_call_id": "t2", "content": "3"}],
         "max_tokens": 10, "tools": TOOLS},
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": [tool_use("t1", "Paris"), tool_use("t2", "Oslo")]},
                      {"role": "user", "content": [
                          {"type": "tool_result", "tool_use_id": "t1", "content": "15"},
                          {"type": "tool_result", "tool_use_id": "t2", "content": "3"}]}],
         "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        {"messages": [user("weather?"),
                      {"role": "assistant", "tool_calls": [function("t1", "Paris"), function("t2", "Oslo")]},
                      {"role": "tool", "tool_call_id": "t1", "content": "15"},
                      {"role": "tool", "tool_call_id": "t2", "content": "3"}],
         "max_tokens": 10, "tools": TOOLS}),
    "a schema": (
        {"messages": [user("hi")], "max_tokens": 10, "response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        {"messages": [user("hi")], "max_tokens": 10, "output_config": {
            "format": {"type": "json_schema", "schema": SCHEMA}}},
        {"messages": [user("hi")], "max_tokens": 10,
         "response_format": {"type": "json_object", "json_schema": SCHEMA}}),
    "a budget of thoughts": (
        {"messages": [user("hi")], "max_tokens": 9000,
         "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2048}}},
        {"messages": [user("hi")], "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"messages": [user("hi")], "max_tokens": 9000, "thinking": {"type": "enabled", "token_budget": 2048}}),
    "documents": (
        {"messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"documents": [{"id": "d", "data": {"text": "t"}}], "safety_mode": "OFF",
                        "citation_options": {"mode": "FAST"}}},
        {"messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"documents": [{"id": "d", "data": {"text": "t"}}], "safety_mode": "OFF",
                        "citation_options": {"mode": "FAST"}}},
        {"messages": [user("hi")], "max_tokens": 10, "documents": [{"id": "d", "data": {"text": "t"}}],
         "safety_mode": "OFF", "citation_options": {"mode": "FAST"}}),
}

USAGE = {"billed_units": {"input_tokens": 5, "output_tokens": 6},
         "tokens": {"input_tokens": 11, "output_tokens": 6}, "cached_tokens": 4}
SAID = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "It rains."}],
        "citations": [{"start": 3, "end": 8, "text": "rains", "type": "TEXT_CONTENT", "content_index": 1, "sources": [
            {"type": "document", "id": "d", "document": {"id": "d", "title": "Weather", "url": "https://w.test/"}}]}]}
CALLED = {"role": "assistant", "tool_plan": "I ask.",
          "tool_calls": [function("t1", "Paris"), function("t2", "Oslo")]}


def answer(message, finish):
    return {"id": "c-1", "message": message, "finish_reason": finish, "usage": USAGE}


def events(message, finish):
    """The same as a stream: each text in two pieces."""
    def event(kind, index=None, **more):
        where = {} if index is None else {"index": index}
        return {"type": kind, **where, **({"delta": {"message": more}} if more else {})}

    def halves(text):
        return [text[:len(text) // 2], text[len(text) // 2:]]

    yield {"type": "message-start", "id": "c-1", "delta": {"message": {
        "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}}
    for piece in halves(message.get("tool_plan", "")):
        yield event("tool-plan-delta", tool_plan=piece)
    for index, content in enumerate(message.get("content", [])):
        kind = content["type"]
        yield event("content-start", index, content={"type": kind, kind: ""})
        for piece in halves(content[kind]):
            yield event("content-delta", index, content={kind: piece})
        yield event("content-end", index)
    for index, call in enumerate(message.get("tool_calls", [])):
        begun = {**call, "function": {**call["function"], "arguments": ""}}
        yield event("tool-call-start", index, tool_calls=begun)
        for piece in halves(call["function"]["arguments"]):
            yield event("tool-call-delta", index, tool_calls={"function": {"arguments": piece}})
        yield event("tool-call-end", index)
    for index, one in enumerate(message.get("citations", [])):
        yield event("citation-start", index, citations=one)
        yield event("citation-end", index)
    yield {"type": "message-end", "delta": {"finish_reason": finish, "usage": USAGE}}


def answers(message, finish, stream):
    return sse(*events(message, finish)) if stream else reply(answer(message, finish))


def client_at(url, key):
    return cohere.ClientV2(base_url=url, api_key=key, max_retries=0, timeout=PATIENCE)


def sdk(up):
    """Cohere's SDK, pointed at the provider itself."""
    return client_at(up.url, KEY)


def entry(up, model=MODEL):
    return deployment("smart", model=f"cohere/{model}", api_key=KEY, api_base=up.url)


def by_cohere(up, asked, stream):
    client = sdk(up)
    if stream:
        return list(client.chat_stream(model=MODEL, **asked))
    return [client.chat(model=MODEL, **asked)]


def by_client(client, gateway, request, stream):
    if client == "anthropic":
        got = gateway.anthropic_client().messages.create(model="smart", stream=stream, **request)
    else:
        got = gateway.client().chat.completions.create(model="smart", stream=stream, **request)
    return list(got) if stream else [got]


def normal(body):
    # The SDK says that an answer is no stream; so it is without a word.
    if body.get("stream") is False:
        body = {name: value for name, value in body.items() if name != "stream"}
    return body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", LOGICAL)
def test_cohere_is_asked_as_its_own_sdk_asks_it(hale, upstream, client, name, stream):
    chat, messages, own = LOGICAL[name]
    up = upstream(Plan(then=answers(SAID, "COMPLETE", stream)))
    gateway = hale(entry(up))
    by_cohere(up, own, stream)
    by_client(client, gateway, dict(messages if client == "anthropic" else chat), stream)
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    assert ours.header("authorization") == oracle.header("authorization") == f"Bearer {KEY}"
    ours, oracle = normal(ours.json), normal(oracle.json)
    # Arguments are a text, of which only the meaning counts.
    for body in (ours, oracle):
        for message in body["messages"]:
            for call in message.get("tool_calls") or []:
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert ours == oracle


def read_by_sdk(got, stream):
    """Text, thoughts, calls, finish, citations and tokens as Cohere's SDK sees them."""
    if not stream:
        [one] = got
        message = one.message
        contents = message.content or []
        text = "".join(part.text for part in contents if part.type == "text")
        thoughts = (message.tool_plan or "") + "".join(part.thinking for part in contents if part.type == "thinking")
        calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        cited = [(one.start, one.end) for one in message.citations or []]
        return text, thoughts, calls, one.finish_reason, cited, one.usage
    text, thoughts, calls, cited = "", "", [], []
    for event in got:
        if event.type == "content-delta":
            text += event.delta.message.content.text or ""
            thoughts += event.delta.message.content.thinking or ""
        elif event.type == "tool-plan-delta":
            thoughts += event.delta.message.tool_plan
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            calls.append([call.id, call.function.name, call.function.arguments])
        elif event.type == "tool-call-delta":
            calls[event.index][2] += event.delta.message.tool_calls.function.arguments
        elif event.type == "citation-start":
            cited.append((event.delta.message.citations.start, event.delta.message.citations.end))
        elif event.type == "message-end":
            finish, usage = event.delta.finish_reason, event.delta.usage
    return text, thoughts, [(id, name, json.loads(given)) for id, name, given in calls], finish, cited, usage


def read_by_openai(got, stream):
    pieces = [choice.delta if stream else choice.message for one in got for choice in one.choices]
    text = "".join(piece.content or "" for piece in pieces)
    thoughts = "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces)
    calls = {}
    for piece in pieces:
        for at, one in enumerate(piece.tool_calls or []):
            index = getattr(one, "index", None)
            call = calls.setdefault(at if index is None else index, [one.id, one.function.name, ""])
            call[2] += one.function.arguments or ""
    cited = []
    for piece in pieces:
        for one in getattr(piece, "annotations", None) or []:
            cite = one["url_citation"] if isinstance(one, dict) else one.url_citation.model_dump()
            cited.append((cite["start_index"], cite["end_index"]))
    finish = [choice.finish_reason for one in got for choice in one.choices if choice.finish_reason]
    usage = [one.usage for one in got if one.usage][-1]
    calls = [(id, name, json.loads(given)) for id, name, given in calls.values()]
    return text, thoughts, calls, finish, cited, usage


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("message", "finish", "word"), [(SAID, "COMPLETE", "stop"), (CALLED, "TOOL_CALL", "tool_calls")],
                         ids=["text", "calls"])
def test_an_openai_client_reads_from_hale_what_coheres_sdk_reads(hale, upstream, message, finish, word, stream):
    up = upstream(Plan(then=answers(message, finish, stream)))
    gateway = hale(entry(up))
    theirs = read_by_sdk(by_cohere(up, {"messages": [user("hi")], "tools": TOOLS}, stream), stream)
    request = {"messages": [user("hi")], "tools": TOOLS}
    if stream:
        request["stream_options"] = {"include_usage": True}
    ours = read_by_openai(by_client("openai", gateway, request, stream), stream)
    assert ours[:3] == theirs[:3] and ours[4] == theirs[4]
    assert (theirs[3], ours[3]) == (finish, [word])
    assert ours[5].prompt_tokens == theirs[5].tokens.input_tokens == 11
    assert ours[5].completion_tokens == theirs[5].tokens.output_tokens == 6
    assert ours[5].prompt_tokens_details.cached_tokens == theirs[5].cached_tokens == 4


def test_an_anthropic_client_reads_the_same_content(hale, upstream):
    up = upstream(Plan(then=answers(CALLED, "TOOL_CALL", False)))
    gateway = hale(entry(up))
    request = {"messages": [user("hi")], "max_tokens": 99, "tools": ANTHROPIC_TOOLS}
    [got] = by_client("anthropic", gateway, request, False)
    assert [block.type for block in got.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in got.content[1:]] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert got.stop_reason == "tool_use"
    assert (got.usage.input_tokens, got.usage.cache_read_input_tokens, got.usage.output_tokens) == (7, 4, 6)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_asked_and_read_as_coheres_sdk_does(hale, upstream, form):
    embeddings = {"id": "e", "embeddings": {"float": [[0.25, -0.5], [1.5, 3]]}, "texts": ["a", "b"],
                  "meta": {"billed_units": {"input_tokens": 2}}}
    up = upstream(Plan(then=reply(embeddings)))
    gateway = hale(entry(up, "embed-v4.0"))
    read = sdk(up).embed(model="embed-v4.0", texts=["a", "b"], input_type="search_query", output_dimension=2,
                         embedding_types=["float"])
    got = gateway.client().embeddings.create(model="smart", input=["a", "b"], dimensions=2, encoding_format=form,
                                             extra_body={"input_type": "search_query"})
    oracle, ours = up.requests
    assert (ours.method, ours.path, ours.json) == (oracle.method, oracle.path, oracle.json)
    values = [one.embedding for one in got.data]
    if form == "base64":
        values = [list(struct.unpack("<2f", base64.b64decode(one))) for one in values]
    assert values == read.embeddings.float_
    assert got.usage.prompt_tokens == read.meta.billed_units.input_tokens == 2


def test_documents_are_ranked_as_coheres_sdk_asks(hale, upstream):
    ranks = {"id": "r", "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
             "meta": {"billed_units": {"search_units": 1}}}
    up = upstream(Plan(then=reply(ranks)))
    gateway = hale(entry(up, "rerank-v3.5"))
    asked = {"query": "q", "documents": ["a", "b"], "top_n": 2}
    read = sdk(up).rerank(model="rerank-v3.5", **asked)
    through = client_at(gateway.url, MASTER_KEY).rerank(model="smart", **asked)
    oracle, ours = up.requests
    assert (ours.method, ours.path, ours.json) == (oracle.method, oracle.path, oracle.json)
    assert [one.index for one in through.results] == [one.index for one in read.results] == [1, 0]


def test_coheres_sdk_is_passed_through_with_the_operators_key(hale, upstream):
    up = upstream(Plan(then=answers(SAID, "COMPLETE", False)))
    gateway = hale(entry(up))
    client = client_at(f"{gateway.url}/cohere", MASTER_KEY)
    got = client.chat(model=MODEL, messages=[user("hi")])
    assert got.message.content[1].text == "It rains."
    [sent] = up.requests
    assert (sent.path, sent.header("authorization")) == ("/v2/chat", f"Bearer {KEY}")
