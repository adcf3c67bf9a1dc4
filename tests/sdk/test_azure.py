"""Azure, with the official client as the measure: what it sends to a provider, Hale sends too."""

import openai
import pytest

from asking import HELLO
from gateway import MASTER_KEY, deployment

VERSION = "2024-10-21"


def azure(upstream, **params):
    entry = deployment("smart", model="azure/my-gpt", api_key="azure-secret", **params)
    entry["litellm_params"]["api_base"] = upstream.url
    return entry


def the_clients_own(upstream, **options):
    return openai.AzureOpenAI(azure_endpoint=upstream.url, api_version=VERSION, max_retries=0, **options)


def asked(request):
    """What of a request decides where it goes, who asks, and for what."""
    return request.method, request.path, request.header("api-key"), request.header("authorization"), request.json


CALLS = {
    "a chat": lambda client, model: client.chat.completions.create(
        model=model, messages=HELLO, temperature=0.5),
    "a stream": lambda client, model: list(client.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True})),
    "an embedding": lambda client, model: client.embeddings.create(
        model=model, input="hello", encoding_format="float"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_hale_sends_what_the_official_client_sends(hale, upstream, call):
    direct, behind = upstream(), upstream()
    call(the_clients_own(direct, api_key="azure-secret"), "my-gpt")
    gateway = hale(azure(behind, api_version=VERSION))
    call(openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=MASTER_KEY, max_retries=0), "smart")
    assert asked(behind.requests[0]) == asked(direct.requests[0])


def test_a_token_is_sent_as_the_official_client_sends_it(hale, upstream):
    direct, behind = upstream(), upstream()
    CALLS["a chat"](the_clients_own(direct, azure_ad_token="token-of-entra"), "my-gpt")
    entry = azure(behind, api_version=VERSION, azure_ad_token="token-of-entra")
    del entry["litellm_params"]["api_key"]
    gateway = hale(entry)
    CALLS["a chat"](openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=MASTER_KEY), "smart")
    assert asked(behind.requests[0]) == asked(direct.requests[0])


def test_the_official_azure_client_is_served(hale, upstream):
    gateway = hale(deployment("smart", upstream()))
    client = openai.AzureOpenAI(azure_endpoint=gateway.url, api_version=VERSION, api_key=MASTER_KEY)
    got = CALLS["a chat"](client, "smart")
    assert got.choices[0].message.content == "Hello world"
    assert CALLS["a stream"](client, "smart")
