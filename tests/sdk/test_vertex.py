"""The SDKs of Google and Anthropic at Vertex AI as oracles: what they send for a logical request, Hale sends for the same request of an
OpenAI or an Anthropic client, and what they read from an answer, a client reads through Hale."""

import base64
import json
import pathlib
import struct

import pytest
from anthropic import AnthropicVertex
from google import genai
from google.genai import types
from google.oauth2 import credentials as oauth

import claude as wire
from gateway import MASTER_KEY
from test_gemini import ANSWER, LOGICAL, MODEL, answers, by_client, candidate, normal, user
from upstream import Plan, reply, sse

KEY = (pathlib.Path(__file__).parents[2] / "testdata/google/service_account_key.pem").read_text()
PROJECT, LOCATION, TOKEN = "p-1", "europe-west4", "token-oracle-0123456789"
CLAUDE = "claude-sonnet-4-5@20250929"


def entry(up, issuer, model=MODEL, **more):
    account = {"type": "service_account", "project_id": PROJECT, "private_key_id": "k1", "private_key": KEY,
               "client_email": "hale@p-1.iam.gserviceaccount.com", "token_uri": f"{issuer.url}/token"}
    return {"model_name": "smart", "litellm_params": {
        "model": f"vertex_ai/{model}", "api_base": up.url, "vertex_location": LOCATION,
        "vertex_credentials": account, **more}}


@pytest.fixture
def issuer(upstream):
    return upstream(Plan(then=reply({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})))


def google(up):
    """Google's SDK, pointed at the provider itself."""
    options = types.HttpOptions(base_url=up.url, api_version="v1")
    return genai.Client(vertexai=True, project=PROJECT, location=LOCATION,
                        credentials=oauth.Credentials(TOKEN), http_options=options)


def by_google(up, model, asked, stream):
    contents, config = asked
    client = google(up)
    config = types.GenerateContentConfig(**config, automatic_function_calling={"disable": True})
    if stream:
        return list(client.models.generate_content_stream(model=model, contents=contents, config=config))
    return [client.models.generate_content(model=model, contents=contents, config=config)]


def claude(up):
    """Anthropic's SDK, pointed at the provider itself."""
    return AnthropicVertex(region=LOCATION, project_id=PROJECT, access_token=TOKEN, base_url=f"{up.url}/v1",
                           max_retries=0)


def asks(up):
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    assert ours.header("authorization") == oracle.header("authorization") == f"Bearer {TOKEN}"
    for name in ["x-goog-api-key", "x-api-key", "anthropic-version", "x-goog-user-project"]:
        assert ours.header(name) is None, name
    return oracle, ours


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", LOGICAL)
def test_gemini_is_asked_as_googles_sdk_asks_it(hale, upstream, issuer, client, name, stream):
    model, chat, messages, own = LOGICAL[name]
    up = upstream(Plan(then=answers(candidate({"text": "hi"}), stream)))
    gateway = hale(entry(up, issuer, model))
    by_google(up, model, own, stream)
    by_client(client, gateway, dict(messages if client == "anthropic" else chat), stream)
    oracle, ours = asks(up)
    assert normal(ours.json) == normal(oracle.json)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_reads_from_hale_what_googles_sdk_reads(hale, upstream, issuer, stream):
    up = upstream(Plan(then=answers(ANSWER, stream)))
    gateway = hale(entry(up, issuer))
    read = by_google(up, MODEL, ("hi", {}), stream)
    parts = [part for one in read for part in one.candidates[0].content.parts]
    texts = "".join(part.text for part in parts if part.text and not part.thought)
    more = {"stream_options": {"include_usage": True}} if stream else {}
    got = by_client("openai", gateway, {"messages": [user("hi")], **more}, stream)
    pieces = [choice.delta if stream else choice.message for one in got for choice in one.choices]
    assert "".join(piece.content or "" for piece in pieces) == texts
    assert got[-1].usage.prompt_tokens == read[-1].usage_metadata.prompt_token_count


#: One logical request for Claude, in the words of Anthropic's SDK and of OpenAI's.
ASKED = {
    "text": ({"messages": [user("hi")], "max_tokens": 10}, {"messages": [user("hi")], "max_tokens": 10}),
    "system": ({"system": "Be brief.", "messages": [user("hi")], "max_tokens": 10},
               {"messages": [{"role": "system", "content": "Be brief."}, user("hi")], "max_tokens": 10}),
    "tools": ({"messages": [user("hi")], "max_tokens": 10, "tools": [
        {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}]},
              {"messages": [user("hi")], "max_tokens": 10, "tools": [{"type": "function", "function": {
                  "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}]}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", ASKED)
def test_claude_is_asked_as_anthropics_sdk_asks_it(hale, upstream, issuer, client, name, stream):
    messages, chat = ASKED[name]
    events = sse(wire.start(), *wire.block(0, wire.TEXT), *wire.finish())
    up = upstream(Plan(then=events if stream else reply(wire.message())))
    gateway = hale(entry(up, issuer, CLAUDE))
    got = claude(up).messages.create(model=CLAUDE, stream=stream, **messages)
    if stream:
        list(got)
    by_client(client, gateway, dict(messages if client == "anthropic" else chat), stream)
    oracle, ours = asks(up)
    ours, oracle = ours.json, oracle.json
    # Clients that name no version get the reference's.
    version, newest = ours.pop("anthropic_version"), oracle.pop("anthropic_version")
    assert version == (newest if client == "anthropic" else "vertex-2023-10-16")
    assert plain(ours) == plain(oracle)


def plain(body):
    """Texts stand as one string or as a list of blocks; both say the same."""
    def one(content):
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    body = dict(body)
    body["messages"] = [{**turn, "content": one(turn["content"])} for turn in body["messages"]]
    if "system" in body:
        body["system"] = one(body["system"])
    # A request that does not stream may say so.
    if body.get("stream") is False:
        del body["stream"]
    return body


def test_tokens_of_claude_are_counted_where_anthropics_sdk_counts_them(hale, upstream, issuer):
    up = upstream(Plan(then=reply({"input_tokens": 31})))
    gateway = hale(entry(up, issuer, CLAUDE))
    read = claude(up).messages.count_tokens(model=CLAUDE, messages=[user("hi")])
    got = gateway.anthropic_client().messages.count_tokens(model="smart", messages=[user("hi")])
    oracle, ours = asks(up)
    assert ours.json == oracle.json
    assert got.input_tokens == read.input_tokens == 31


def test_tokens_of_gemini_are_counted_where_googles_sdk_counts_them(hale, upstream, issuer):
    up = upstream(Plan(then=reply({"totalTokens": 31})))
    gateway = hale(entry(up, issuer))
    # The SDK closes a client that is no longer held.
    sdk = google(up)
    sdk.models.count_tokens(model=MODEL, contents="hi")
    got = gateway.anthropic_client().messages.count_tokens(model="smart", messages=[user("hi")])
    oracle, ours = asks(up)
    assert ours.json == oracle.json
    assert got.input_tokens == 31


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_asked_and_read_as_googles_sdk_does(hale, upstream, issuer, form):
    def prediction(values):
        return {"embeddings": {"values": values, "statistics": {"truncated": False, "token_count": 3}}}

    up = upstream(Plan(then=reply({"predictions": [prediction([0.25, -0.5]), prediction([1.5, 3])]})))
    gateway = hale(entry(up, issuer, "text-embedding-005"))
    config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
    sdk = google(up)
    read = sdk.models.embed_content(model="text-embedding-005", contents=["a", "b"], config=config)
    got = gateway.client().embeddings.create(model="smart", input=["a", "b"], dimensions=2, encoding_format=form,
                                             extra_body={"input_type": "search_query"})
    oracle, ours = asks(up)
    assert ours.json == oracle.json
    values = [one.embedding for one in got.data]
    if form == "base64":
        values = [list(struct.unpack("<2f", base64.b64decode(one))) for one in values]
    assert values == [one.values for one in read.embeddings]
    assert got.usage.prompt_tokens == 6


def test_googles_sdk_works_through_the_pass_through(hale, upstream, issuer):
    up = upstream(Plan(then=reply(candidate({"text": "hi"}))))
    gateway = hale(entry(up, issuer))
    options = types.HttpOptions(base_url=gateway.url + "/vertex_ai", api_version="v1")
    sdk = genai.Client(vertexai=True, project=PROJECT, location=LOCATION,
                       credentials=oauth.Credentials(MASTER_KEY), http_options=options)
    assert sdk.models.generate_content(model=MODEL, contents="hi").text == "hi"
    [ours] = up.requests
    assert ours.path == f"/v1/projects/{PROJECT}/locations/{LOCATION}/publishers/google/models/{MODEL}:generateContent"
    assert ours.header("authorization") == f"Bearer {TOKEN}"
    assert json.loads(ours.body)["contents"][0]["parts"][0]["text"] == "hi"
