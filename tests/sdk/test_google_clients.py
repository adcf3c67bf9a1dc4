"""Google's own SDK as a client in front of every provider: what it reads is what each provider said, streamed and not."""

import base64
import http.client
import json

import pytest
from google import genai
from google.genai import errors, types

import claude
import test_bedrock as bedrock
import test_cohere as cohere
import test_gemini as gemini
import test_ollama as ollama
from gateway import MASTER_KEY, PATIENCE, deployment
from test_bridge import chat
from upstream import CUT, Plan, chunk, embedding_body, error, rate_limited, reply, role, sse, text

WEATHER = types.Tool(function_declarations=[
    types.FunctionDeclaration(name="weather", description="d", parameters_json_schema=gemini.SCHEMA)])
MANUAL = {"automatic_function_calling": {"disable": True}}
CALLS = [("c1", "weather", '{"city":"Paris"}'), ("c2", "weather", '{"city":"Oslo"}')]


def sdk(gateway, version=None, key=MASTER_KEY):
    """Google's SDK, pointed at the gateway; without a version it takes its own."""
    options = types.HttpOptions(base_url=gateway.url, api_version=version)
    return genai.Client(api_key=key, http_options=options)


def ask(client, contents, stream, **config):
    config = types.GenerateContentConfig(**MANUAL, **config)
    if stream:
        return list(client.models.generate_content_stream(model="smart", contents=contents, config=config))
    return [client.models.generate_content(model="smart", contents=contents, config=config)]


def parts(got):
    return [part for one in got for part in one.candidates[0].content.parts or []]


def said(got):
    """What an answer says, whether it came in pieces or whole."""
    all_parts = parts(got)
    calls = [(part.function_call.name, part.function_call.args) for part in all_parts if part.function_call]
    usage = got[-1].usage_metadata
    return {
        "text": "".join(part.text for part in all_parts if part.text and not part.thought),
        "thoughts": "".join(part.text or "" for part in all_parts if part.thought),
        "calls": calls,
        "end": got[-1].candidates[0].finish_reason.value,
        "tokens": (usage.prompt_token_count, usage.total_token_count),
    }


def before_openai(up):
    return deployment("smart", up, model="deepseek/deepseek-chat")


def before_claude(up):
    return claude.deployment_on("anthropic", up)


def by_stream(answer):
    """What a provider answers with, streamed or not, where its wire says so in the body or the path."""
    def behave(exchange):
        request = exchange.request
        streams = request.json.get("stream") is True or "tream" in request.path.split("?")[0]
        answer(streams)(exchange)
    return behave


#: The entry of each provider, how it answers, and what it says.
PROVIDERS = {
    "openai": (before_openai, chat("Let me look.", "Hm.", CALLS, "tool_calls"),
               {"text": "Let me look.", "thoughts": "Hm.", "tokens": (9, 16)}),
    "anthropic": (before_claude,
                  claude.answer(claude.THOUGHT, {"type": "text", "text": "Let me look."},
                                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
                                {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {"city": "Oslo"}},
                                stop_reason="tool_use"),
                  {"text": "Let me look.", "thoughts": "Hm.", "tokens": (10, 15)}),
    "gemini": (gemini.entry, by_stream(lambda stream: gemini.answers(gemini.ANSWER, stream)),
               {"text": "Let me look.", "thoughts": "Hm.", "tokens": (11, 19)}),
    "bedrock": (bedrock.entry, by_stream(bedrock.answers),
                {"text": "Let me look.", "thoughts": "Hm.", "tokens": (9, 16)}),
    "cohere": (cohere.entry, by_stream(lambda stream: cohere.answers(cohere.CALLED, "TOOL_CALL", stream)),
               {"text": "", "thoughts": "I ask."}),
    "ollama": (ollama.entry, by_stream(lambda stream: ollama.answers(ollama.ANSWER, stream)),
               {"text": "Let me look.", "thoughts": "Hm."}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_googles_sdk_reads_what_every_provider_says(hale, upstream, name, stream):
    entry, answer, expected = PROVIDERS[name]
    gateway = hale(entry(upstream(Plan(then=answer))))
    got = ask(sdk(gateway), "Weather?", stream, tools=[WEATHER],
              thinking_config=types.ThinkingConfig(include_thoughts=True), max_output_tokens=4000)
    read = said(got)
    assert {key: read[key] for key in expected} == expected
    assert [city["city"] for _, city in read["calls"]] == ["Paris", "Oslo"][:len(read["calls"])] and read["calls"]
    assert read["end"] == "STOP" and got[-1].model_version == "smart"
    ends = [one.candidates[0].finish_reason for one in got if one.candidates[0].finish_reason]
    assert len(ends) == 1, "one end"


@pytest.mark.parametrize("version", [None, "v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_conversation_goes_on_with_the_results_of_its_calls(hale, upstream, name, version):
    entry, answer, _ = PROVIDERS[name]
    up = upstream(Plan(then=answer))
    client = sdk(hale(entry(up)), version)
    thinks = {"thinking_config": types.ThinkingConfig(include_thoughts=True), "max_output_tokens": 4000}
    first = ask(client, "Weather?", False, tools=[WEATHER], **thinks)[0]
    calls = [part.function_call for part in first.candidates[0].content.parts if part.function_call]
    results = [types.Part(function_response=types.FunctionResponse(
        id=call.id, name=call.name, response={"output": f"rain in {call.args['city']}"})) for call in calls]
    history = [gemini.content("user", gemini.text("Weather?")), first.candidates[0].content,
               types.Content(role="user", parts=results)]
    ask(client, history, True, tools=[WEATHER], **thinks)
    sent = up.requests[-1].body.decode()
    for call in calls:
        assert f"rain in {call.args['city']}" in sent
    if name == "anthropic":
        block = json.loads(sent)["messages"][1]["content"][0]
        assert block == claude.THOUGHT, "signed as it was"
    if name == "gemini":
        # The SDK writes it in the other alphabet of base64.
        assert gemini.SIGNATURE.replace('+', '-').replace('/', '_') in sent


@pytest.mark.parametrize("name", ["openai", "anthropic", "bedrock"])
def test_what_is_not_asked_for_is_not_thought_aloud(hale, upstream, name):
    entry, answer, _ = PROVIDERS[name]
    for stream in (False, True):
        assert said(ask(sdk(hale(entry(upstream(Plan(then=answer))))), "hi", stream))["thoughts"] == ""


@pytest.mark.parametrize("name", PROVIDERS)
def test_tokens_are_counted(hale, upstream, name):
    entry = PROVIDERS[name][0]
    counts = {"anthropic": {"input_tokens": 12}, "gemini": {"totalTokens": 12}, "bedrock": {"inputTokens": 12}}
    up = upstream(Plan(then=reply(counts.get(name, {}))))
    client = sdk(hale(entry(up)))
    counted = client.models.count_tokens(model="smart", contents="Hello there, how are you?")
    assert counted.total_tokens == 12 if name in counts else 0 < counted.total_tokens < 30


def test_embeddings_of_providers_have_googles_form(hale, upstream):
    for entry, answer, expected in [
        (deployment("smart", up := upstream(Plan(then=reply(embedding_body(2, "float")))),
                    model="openai/text-embedding-3-small"), None, 2),
        (gemini.entry(up2 := upstream(Plan(then=reply({"embeddings": [{"values": [0.5]}, {"values": [1.0]}]}))),
                      "gemini-embedding-001"), None, 2),
    ]:
        client = sdk(hale(entry), "v1beta")
        got = client.models.embed_content(model="smart", contents=["a", "b"],
                                          config=types.EmbedContentConfig(output_dimensionality=3))
        assert len(got.embeddings) == expected and got.embeddings[0].values[0] == 0.5
    assert up.requests[-1].json["input"] == ["a", "b"] and up.requests[-1].json["dimensions"] == 3
    assert [one["model"] for one in up2.requests[-1].json["requests"]] == ["models/gemini-embedding-001"] * 2


def test_models_are_listed_in_the_form_of_who_asks(hale, upstream):
    up = upstream(Plan(then=reply({})))
    gateway = hale(deployment("smart", up), deployment("a/b", up))
    for version in (None, "v1beta"):
        client = sdk(gateway, version)
        assert sorted(one.name for one in client.models.list()) == ["models/a/b", "models/smart"]
        pages = client.models.list(config={"page_size": 1})
        assert pages[0].name and len(list(pages)) == 2
        one = client.models.get(model="smart")
        assert one.name == "models/smart" and one.supported_actions
    assert [one.id for one in gateway.client().models.list()] == ["smart", "a/b"]
    with pytest.raises(errors.ClientError) as refused:
        client.models.get(model="unknown")
    assert refused.value.code == 404


def raw(gateway, path, body, headers=None):
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=PATIENCE)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


ASKED = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_stream_without_events_is_one_list_of_the_same(hale, upstream, name):
    entry, answer, _ = PROVIDERS[name]
    gateway = hale(entry(upstream(Plan(then=answer))))
    path = f"/v1beta/models/smart:streamGenerateContent?key={MASTER_KEY}"
    status, headers, body = raw(gateway, path, ASKED)
    assert status == 200 and headers["content-type"] == "application/json"
    listed = json.loads(body)
    status, headers, events = raw(gateway, path + "&alt=sse", ASKED)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert b"[DONE]" not in events and b"event:" not in events
    lines = [line for line in events.decode().splitlines() if line.startswith("data:")]
    seen = [json.loads(line.removeprefix("data:")) for line in lines]
    for one in listed + seen:
        one.pop("responseId", None)
        for part in one["candidates"][0]["content"].get("parts", []):
            part.get("functionCall", {}).pop("id", None)
    assert listed == seen
    assert MASTER_KEY not in "".join(gateway.output)


def test_a_model_may_be_named_as_a_resource_and_below_a_project(hale, upstream):
    up = upstream(Plan(then=chat("Hello")))
    gateway = hale(deployment("a/b", up, model="deepseek/x"))
    key = {"x-goog-api-key": MASTER_KEY}
    for path in ("/v1beta/models/a/b:generateContent", "/v1/models/a%2Fb:generateContent",
                 "/models/models%2Fa/b:generateContent", "/v1alpha/models/a/b:generateContent/",
                 "/v1beta1/projects/p/locations/l/publishers/google/models/a/b:generateContent",
                 "/v1/projects/p/locations/l/publishers/google/models/a/b:generateContent"):
        status, _, body = raw(gateway, path, ASKED, key)
        assert status == 200, (path, body)
        assert json.loads(body)["candidates"][0]["content"]["parts"] == [{"text": "Hello"}]


def test_keys_come_by_header_query_and_bearer_and_are_sent_nowhere(hale, upstream):
    up = upstream(Plan(then=by_stream(lambda stream: gemini.answers(gemini.ANSWER, stream))))
    gateway = hale(gemini.entry(up))
    path = "/v1beta/models/smart:generateContent"
    for way, headers in ((path, {"x-goog-api-key": MASTER_KEY}), (f"{path}?key={MASTER_KEY}", {}),
                         (path, {"authorization": f"Bearer {MASTER_KEY}"})):
        assert raw(gateway, way, ASKED, headers)[0] == 200
        sent = up.requests[-1]
        assert MASTER_KEY not in sent.path and MASTER_KEY not in str(sent.headers)
        assert sent.header("x-goog-api-key") == gemini.KEY
    for way, headers in ((path, {}), (f"{path}?key=wrong", {}), (path, {"x-goog-api-key": "wrong"})):
        status, _, body = raw(gateway, way, ASKED, headers)
        assert (status, json.loads(body)["error"]["status"]) == (401, "UNAUTHENTICATED")
    # Other clients' keys are not read from a query.
    assert raw(gateway, f"/v1/chat/completions?key={MASTER_KEY}", {"model": "smart", "messages": []})[0] == 401


@pytest.mark.parametrize(("failure", "code", "status"), [
    (rate_limited(12), 429, "RESOURCE_EXHAUSTED"), (error(503), 503, "UNAVAILABLE"),
    (error(400, "no", "invalid_request_error"), 400, "INVALID_ARGUMENT")])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_errors_have_googles_form(hale, upstream, failure, code, status, stream):
    gateway = hale(before_openai(upstream(Plan(then=failure))), router={"num_retries": 0})
    with pytest.raises(errors.APIError) as raised:
        ask(sdk(gateway), "hi", stream)
    assert (raised.value.code, raised.value.status) == (code, status)
    if code == 429:
        details = {one["@type"].rsplit(".", 1)[-1]: one for one in raised.value.details["error"]["details"]}
        assert "PerMinute" in details["QuotaFailure"]["violations"][0]["quotaId"]
        assert details["RetryInfo"]["retryDelay"].endswith("s")


def test_an_error_behind_content_is_raised(hale, upstream):
    gateway = hale(before_openai(upstream(Plan(then=sse(role(), text("Hel"), CUT)))), router={"num_retries": 0})
    got, client = [], sdk(gateway)
    with pytest.raises(errors.APIError):
        for one in client.models.generate_content_stream(model="smart", contents="hi"):
            got.append(one.text)
    assert "".join(got) == "Hel"
    _, _, body = raw(gateway, "/v1beta/models/smart:streamGenerateContent", ASKED, {"x-goog-api-key": MASTER_KEY})
    listed = json.loads(body)
    assert listed[0]["candidates"] and listed[-1]["error"]["code"] >= 500


def test_a_fallback_answers_in_the_same_form(hale, upstream):
    up = upstream(Plan(then=claude.answer(claude.TEXT)))
    gateway = hale(before_openai(upstream(Plan(then=error(503)))),
                   claude.deployment_on("anthropic", up, group="other"),
                   router={"num_retries": 0, "fallbacks": [{"smart": ["other"]}]})
    for stream in (False, True):
        assert said(ask(sdk(gateway), "hi", stream))["text"] == "Hello world"


def test_schemas_modes_pictures_and_instructions_arrive(hale, upstream):
    up = upstream(Plan(then=chat('{"a": 1}')))
    picture = types.Part.from_bytes(data=gemini.PNG, mime_type="image/png")
    schema = types.Schema(type="OBJECT", properties={"a": types.Schema(type="INTEGER", nullable=True)}, required=["a"])
    ask(sdk(hale(deployment("smart", up, model="openai/gpt-4o"))), ["See", picture], False,
        system_instruction="Be brief.", response_mime_type="application/json", response_schema=schema, seed=7,
        stop_sequences=["END"], safety_settings=[types.SafetySetting(
            category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")])
    sent = up.requests[-1].json
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    url = sent["messages"][1]["content"][1]["image_url"]["url"]
    assert base64.b64decode(url.split(",")[1]) == gemini.PNG
    shape = sent["response_format"]["json_schema"]["schema"]
    assert shape["properties"]["a"]["type"] == ["integer", "null"]
    assert sent["seed"] == 7 and sent["stop"] == ["END"]


def test_google_gets_the_bytes_of_its_own_clients(hale, upstream):
    up = upstream(Plan(then=by_stream(lambda stream: gemini.answers(gemini.ANSWER, stream))))
    gateway = hale(gemini.entry(up))
    body = {**ASKED, "futureField": {"a": [1.50, 1e3]}, "generationConfig": {"topK": 3, "newSetting": True}}
    text = json.dumps(body)
    status, _, answer = raw(gateway, "/v1beta/models/smart:generateContent", body, {"x-goog-api-key": MASTER_KEY})
    assert status == 200 and up.requests[-1].body.decode() == text
    assert up.requests[-1].path == f"/v1beta/models/{gemini.MODEL}:generateContent"
    assert json.loads(answer) == {**gemini.ANSWER, "modelVersion": "smart"}


def test_a_search_is_the_providers_own_where_it_has_one(hale, upstream):
    search = types.Tool(google_search=types.GoogleSearch())
    up = upstream(Plan(then=claude.answer(claude.TEXT)))
    ask(sdk(hale(before_claude(up))), "news?", False, tools=[search])
    assert up.requests[-1].json["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]
    up = upstream(Plan(then=chat("Hello")))
    gateway = hale(before_openai(up))
    ask(sdk(gateway), "news?", False, tools=[search, WEATHER])
    assert [one["function"]["name"] for one in up.requests[-1].json["tools"]] == ["weather"]
    with pytest.raises(errors.ClientError, match="googleSearch"):
        ask(sdk(gateway), "news?", False, tools=[search])


def test_answers_are_kept_and_a_stream_is_not_taken_for_a_whole_answer(hale, upstream):
    up = upstream(Plan(then=chat("Hello world")))
    gateway = hale(before_openai(up), litellm={"cache": True, "cache_params": {"type": "local"}})
    for stream in (False, False, True, True):
        assert said(ask(sdk(gateway), "hi", stream))["text"] == "Hello world"
    assert len(up.requests) == 2


def test_a_canned_answer_has_googles_form(hale):
    gateway = hale({"model_name": "smart", "litellm_params": {"model": "openai/x", "api_key": "sk-x",
                                                              "mock_response": "canned words"}})
    for stream in (False, True):
        assert said(ask(sdk(gateway), "hi", stream))["text"] == "canned words"


def test_browsers_may_ask(hale, upstream):
    gateway = hale(before_openai(upstream(Plan(then=chat("Hello")))))
    origin = {"origin": "https://app.example", "x-goog-api-key": MASTER_KEY}
    status, headers, _ = raw(gateway, "/v1beta/models/smart:generateContent", ASKED, origin)
    assert status == 200 and headers["access-control-allow-origin"] == "*"


def test_a_chunk_of_openais_is_one_of_googles(hale, upstream):
    events = [role(), *[chunk({"content": piece}) for piece in ("a", "b")], chunk({}, "length"), "[DONE]"]
    gateway = hale(before_openai(upstream(Plan(then=sse(*events)))))
    got = ask(sdk(gateway), "hi", True)
    assert [part.text for part in parts(got)] == ["a", "b"]
    assert got[-1].candidates[0].finish_reason.value == "MAX_TOKENS"


def test_a_spent_budget_is_a_quota_of_the_day(hale, upstream):
    up = upstream(Plan(then=chat("Hello")))
    gateway = hale(deployment("smart", up, model="openai/gpt-4o", input_cost_per_token=0.01, output_cost_per_token=0.01))
    made = gateway.post("/key/generate", {"max_budget": 0.05, "models": ["smart"]})
    assert made.status == 200, made.body
    client = sdk(gateway, key=json.loads(made.body)["key"])
    with pytest.raises(errors.ClientError) as raised:
        for _ in range(5):
            ask(client, "hi", False, max_output_tokens=1)
    assert (raised.value.code, raised.value.status) == (429, "RESOURCE_EXHAUSTED")
    details = {one["@type"].rsplit(".", 1)[-1]: one for one in raised.value.details["error"]["details"]}
    assert "PerDay" in details["QuotaFailure"]["violations"][0]["quotaId"] and "RetryInfo" not in details
