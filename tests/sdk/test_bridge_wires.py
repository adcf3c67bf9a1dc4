"""Responses in front of the wires of other providers: OpenAI's client reads what each said, streamed and not, and goes on."""

import pytest

import claude
import test_gemini as gemini
from test_bridge import plain, streamed
from test_google_clients import PROVIDERS
from upstream import Plan, reply

WEATHER = {"type": "function", "name": "weather", "strict": False, "parameters": gemini.SCHEMA}
ASKED = {"input": "Weather?", "tools": [WEATHER], "reasoning": {"effort": "low", "summary": "auto"},
         "include": ["reasoning.encrypted_content"], "max_output_tokens": 4000, "store": False}


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_stream_and_an_answer_in_one_piece_are_the_same_response(hale, upstream, name):
    entry, answer, expected = PROVIDERS[name]
    api = hale(entry(upstream(Plan(then=answer)))).client()
    final, events = streamed(api, **ASKED)
    whole = api.responses.create(model="smart", **ASKED)
    assert plain(final) == plain(whole)
    kinds = [item.type for item in whole.output]
    assert kinds[0] == "reasoning" and kinds[-1] == "function_call"
    assert "".join(part.text for part in whole.output[0].summary) == expected["thoughts"]
    assert whole.output_text == expected["text"]
    assert whole.output[-1].name == "weather" and "city" in whole.output[-1].arguments
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_conversation_goes_on_with_its_items(hale, upstream, name):
    entry, answer, _ = PROVIDERS[name]
    up = upstream(Plan(then=answer))
    api = hale(entry(up)).client()
    first = api.responses.create(model="smart", **ASKED)
    items = [item.model_dump(exclude_none=True) for item in first.output]
    results = [{"type": "function_call_output", "call_id": one["call_id"], "output": f"rain in {one['arguments']}"}
               for one in items if one["type"] == "function_call"]
    history = [{"role": "user", "content": "Weather?"}, *items, *results]
    streamed(api, **{**ASKED, "input": history})
    sent = up.requests[-1].body.decode()
    assert sent.count("rain in") == len(results)
    if name == "anthropic":
        assert claude.THOUGHT["signature"] in sent
    if name == "gemini":
        assert gemini.SIGNATURE in sent


@pytest.mark.parametrize("name", PROVIDERS)
def test_tokens_are_counted(hale, upstream, name):
    counts = {"anthropic": {"input_tokens": 12}, "gemini": {"totalTokens": 12}, "bedrock": {"inputTokens": 12}}
    up = upstream(Plan(then=reply(counts.get(name, {}))))
    api = hale(PROVIDERS[name][0](up)).client()
    counted = api.responses.input_tokens.count(model="smart", input="Hello there, how are you?")
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == 12 if name in counts else 0 < counted.input_tokens < 30


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_search_is_the_providers_own_or_left_out_and_named(hale, upstream, name):
    entry, answer, _ = PROVIDERS[name]
    up = upstream(Plan(then=answer))
    api = hale(entry(up)).client()
    got = api.responses.with_raw_response.create(model="smart", input="news?", tools=[{"type": "web_search"}])
    sent = up.requests[-1].body.decode()
    own = {"anthropic": "web_search_20250305", "gemini": "googleSearch", "bedrock": "nova_grounding"}
    if name in own:
        assert own[name] in sent and "x-hale-left-out" not in got.headers
    else:
        assert "web_search" not in sent and got.headers["x-hale-left-out"] == "tools: web_search"
    got = api.responses.with_raw_response.create(model="smart", input="news?", tools=[{"type": "web_search"}, WEATHER])
    assert got.status_code == 200 and "weather" in up.requests[-1].body.decode()
