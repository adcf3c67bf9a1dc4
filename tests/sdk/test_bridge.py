"""Responses in front of providers that have none: OpenAI's client reads the same from every wire, streamed and not."""

import json

import openai
import pytest

from gateway import deployment
from upstream import Plan, reply, sse

WEATHER = {"type": "function", "name": "get_weather", "strict": False,
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
PATCH = "*** Begin Patch\n*** Add File: a.txt\n+say \"hi\" \\ \u00e9\U0001f600\n*** End Patch\n"
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: \"*** Begin Patch\" LF /.+/ LF"}


def chunk(delta, finish=None):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def chat(text=None, thoughts=None, calls=(), finish="stop"):
    """A provider of the chat format that says this, streamed and not."""
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}

    def answer(exchange):
        tool_calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                      for id, name, arguments in calls]
        if not exchange.request.json.get("stream"):
            message = {"role": "assistant", "content": text}
            if thoughts:
                message["reasoning_content"] = thoughts
            if tool_calls:
                message["tool_calls"] = tool_calls
            reply({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up", "usage": usage,
                   "choices": [{"index": 0, "message": message, "finish_reason": finish}]})(exchange)
            return
        chunks = [chunk({"role": "assistant", "content": ""})]
        chunks += [chunk({"reasoning_content": piece}) for piece in (thoughts or "").partition(" ") if piece]
        chunks += [chunk({"content": piece}) for piece in (text or "").partition(" ") if piece]
        for at, call in enumerate(tool_calls):
            function = call["function"]
            half = len(function["arguments"]) // 2
            begin = {**call, "index": at, "function": {"name": function["name"], "arguments": ""}}
            chunks.append(chunk({"tool_calls": [begin]}))
            for piece in (function["arguments"][:half], function["arguments"][half:]):
                chunks.append(chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}))
        chunks += [chunk({}, finish), {**chunk({}), "choices": [], "usage": usage}]
        sse(*[f"data: {json.dumps(one)}\n\n".encode() for one in chunks], b"data: [DONE]\n\n")(exchange)
    return answer


def client(hale, up, model="deepseek/deepseek-chat"):
    return hale(deployment("smart", up, model=model)).client()


def plain(response):
    said = response.model_dump(exclude_none=True)
    for name in ("id", "created_at", "completed_at", "parsed_output"):
        said.pop(name, None)
    for item in said["output"]:
        item.pop("id")
        item.pop("parsed_arguments", None)
        for part in item.get("content") or []:
            part.pop("parsed", None)
    return said


def streamed(api, **asked):
    """The response that `responses.stream()` puts together, and its events."""
    with api.responses.stream(model="smart", **asked) as stream:
        events = list(stream)
        ends = [event for event in events if event.type == "response.incomplete"]
        return ends[0].response if ends else stream.get_final_response(), events


CASES = {
    "a text": (chat("Hello world"), {"input": "hi", "instructions": "Be brief.", "temperature": 0.3}),
    "reasoning": (chat("Hello world", "let me see"), {"input": "hi", "reasoning": {"effort": "low", "summary": "auto"}}),
    "a call": (chat(None, None, [("c1", "get_weather", '{"city":"Rome"}')], "tool_calls"),
               {"input": "weather?", "tools": [WEATHER]}),
    "parallel calls": (chat("Look.", None, [("c1", "get_weather", '{"city":"Rome"}'), ("c2", "get_weather", "{}")],
                            "tool_calls"), {"input": "weather?", "tools": [WEATHER], "tool_choice": "required"}),
    "a custom call": (chat(None, None, [("c1", "apply_patch", json.dumps({"input": PATCH}))], "tool_calls"),
                      {"input": "patch", "tools": [{"type": "custom", "name": "apply_patch", "format": GRAMMAR}]}),
    "a cut": (chat("Hello world", finish="length"), {"input": "hi", "max_output_tokens": 16}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stream_and_an_answer_in_one_piece_are_the_same_response(name, upstream, hale):
    answer, asked = CASES[name]
    api = client(hale, upstream(Plan(then=answer)))
    final, events = streamed(api, **asked)
    whole = api.responses.create(model="smart", **asked)
    assert plain(final) == plain(whole)
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == list(
        range(sum(hasattr(event, "sequence_number") for event in events)))
    assert whole.usage.total_tokens == 16 and whole.store is False
    kinds = [item.type for item in whole.output]
    if name == "a text":
        assert whole.output_text == "Hello world" and whole.instructions == "Be brief."
    if name == "reasoning":
        assert kinds == ["reasoning", "message"]
        assert whole.output[0].summary[0].text == "let me see"
    if name == "a call":
        assert (whole.output[0].name, whole.output[0].arguments) == ("get_weather", '{"city":"Rome"}')
    if name == "parallel calls":
        assert kinds == ["message", "function_call", "function_call"]
    if name == "a custom call":
        assert kinds == ["custom_tool_call"] and whole.output[0].input == PATCH
    if name == "a cut":
        assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_conversation_goes_on_with_the_items_that_came_back(upstream, hale):
    up = upstream(Plan(chat(None, "hm", [("c1", "apply_patch", json.dumps({"input": PATCH}))], "tool_calls"), then=chat("Done.")))
    api = client(hale, up)
    tools = [{"type": "custom", "name": "apply_patch", "description": "d", "format": GRAMMAR}]
    asked = [{"role": "user", "content": "patch"}]
    first = api.responses.create(model="smart", input=asked, tools=tools, store=False,
                                 include=["reasoning.encrypted_content"])
    assert [item.type for item in first.output] == ["reasoning", "custom_tool_call"]
    history = asked + [item.model_dump(exclude_none=True) for item in first.output] + [
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"}]
    assert api.responses.create(model="smart", input=history, tools=tools).output_text == "Done."
    sent = up.requests[-1].json
    assert [one["role"] for one in sent["messages"]] == ["user", "assistant", "tool"]
    assistant = sent["messages"][1]
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"input": PATCH}
    assert assistant["reasoning_content"] == "hm", "what this model thought goes back to it"
    assert GRAMMAR["definition"] in sent["tools"][0]["function"]["description"]


def test_errors_are_those_of_the_client(upstream, hale):
    limited = reply({"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
                    status=429, headers={"retry-after": "12"})
    api = client(hale, upstream(Plan(then=limited)))
    with pytest.raises(openai.RateLimitError) as caught:
        api.with_options(max_retries=0).responses.create(model="smart", input="hi")
    assert caught.value.response.headers["retry-after"]
    api = client(hale, upstream(Plan(then=chat("x"))))
    with pytest.raises(openai.BadRequestError) as caught:
        api.responses.create(model="smart", input="hi", previous_response_id="resp_0")
    assert "resp_0" in str(caught.value)
