"""The other endpoints and the other ways to the same ones."""

import openai
import pytest

from asking import HELLO, ask, content
from gateway import MASTER_KEY, deployment
from upstream import VECTOR, error


def test_embeddings_come_back_as_vectors_under_the_requested_model(hale, upstream):
    up = upstream()
    client = hale(deployment("vectors", up, model="openai/text-embedding-3-small")).client()
    got = client.embeddings.create(model="vectors", input=["a", "b"])
    assert [one.embedding for one in got.data] == [VECTOR, VECTOR]
    assert got.model == "vectors"
    assert got.usage.total_tokens == 8
    assert up.requests[0].path == "/v1/embeddings"
    assert up.requests[0].json["model"] == "text-embedding-3-small"
    floats = client.embeddings.create(model="vectors", input="a", encoding_format="float")
    assert floats.data[0].embedding == VECTOR


def test_embeddings_move_to_a_sibling_too(hale, upstream):
    gateway = hale(deployment("vectors", upstream(error(500)), id="bad"),
                   deployment("vectors", upstream(error(500)), id="worse"), router={"num_retries": 2})
    got = gateway.client().embeddings.with_raw_response.create(model="vectors", input="a")
    assert got.parse().data[0].embedding == VECTOR
    assert got.headers["x-litellm-attempted-retries"] == "2"


def test_legacy_completions_answer_whole_and_streamed(hale, upstream):
    up = upstream()
    client = hale(deployment("smart", up, model="openai/gpt-3.5-turbo-instruct")).client()
    whole = client.completions.create(model="smart", prompt="say")
    assert whole.choices[0].text == "Hello world"
    assert (whole.model, whole.usage.total_tokens) == ("smart", 15)
    chunks = list(client.completions.create(model="smart", prompt="say", stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Hello world"
    assert {chunk.model for chunk in chunks} == {"smart"}
    assert {request.path for request in up.requests} == {"/v1/completions"}


def test_models_are_listed_as_groups(hale, upstream):
    gateway = hale(deployment("smart", upstream()), deployment("smart", upstream()),
                   deployment("cheap", upstream()))
    models = gateway.client().models.list().data
    assert sorted(model.id for model in models) == ["cheap", "smart"]
    assert {(m.object, m.created, m.owned_by) for m in models} == {("model", 1677610602, "openai")}


def test_one_model_is_retrieved_by_its_name(hale, upstream):
    client = hale(deployment("smart", upstream()), deployment("team/smart", upstream())).client()
    assert client.models.retrieve("smart").id == "smart"
    assert client.models.retrieve("team/smart").id == "team/smart"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("dumb")


@pytest.mark.parametrize("group", ["smart", "team/smart"])
def test_an_azure_client_names_the_group_in_its_path(hale, upstream, group):
    up = upstream()
    client = hale(deployment(group, up)).azure_client()
    whole = client.chat.completions.create(model=group, messages=HELLO)
    assert whole.choices[0].message.content == "Hello world"
    assert whole.model == group
    chunks = client.chat.completions.create(model=group, messages=HELLO, stream=True)
    assert content(chunks) == "Hello world"
    assert client.embeddings.create(model=group, input="a").data[0].embedding == VECTOR
    for request in up.requests:
        assert request.json["model"] == "gpt-4o-mini"
        assert MASTER_KEY.encode() not in request.raw()
        assert "api-version" not in request.path


@pytest.mark.parametrize("prefix", ["/engines/smart", "/openai/deployments/smart"])
def test_a_model_in_the_path_wins(hale, upstream, prefix):
    up = upstream()
    gateway = hale(deployment("smart", up), deployment("cheap", upstream()))
    got = gateway.client(prefix).chat.completions.create(model="cheap", messages=HELLO)
    assert got.model == "smart"
    assert up.requests[0].path == "/v1/chat/completions"
    without = gateway.post(f"{prefix}/chat/completions", {"messages": HELLO})
    assert without.status == 200
    assert without.json["model"] == "smart"


def test_paths_work_without_their_version(hale, upstream):
    client = hale(deployment("smart", upstream())).client("")
    assert client.chat.completions.create(model="smart", messages=HELLO).model == "smart"
    assert client.models.list().data[0].id == "smart"


def test_an_alias_is_answered_under_its_own_name(hale, upstream):
    gateway = hale(deployment("smart", upstream()), router={"model_group_alias": {"gpt-4": "smart"}})
    assert ask(gateway, model="gpt-4").model == "gpt-4"


def test_a_wildcard_passes_on_what_it_matched(hale, upstream):
    up = upstream()
    gateway = hale(deployment("openai/*", up, model="openai/*"))
    assert ask(gateway, model="openai/gpt-4.1").model == "openai/gpt-4.1"
    assert up.requests[0].json["model"] == "gpt-4.1"
