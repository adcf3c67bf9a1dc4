"""Images, speech, moderations, rerank and OCR: what the official SDKs send to a provider, Hale sends for the same
request, and what they read from the provider, they read from Hale."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any, Callable

import cohere
import mistralai.client
import openai
import pytest

from gateway import MASTER_KEY, PATIENCE, deployment
from upstream import error, html, reply

KEY = "sk-upstream-secret"
GROUP = "ours"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4\n").decode()
SOUND = b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x00sound" * 1000

IMAGE = {"created": 1700000000, "data": [{"b64_json": PNG, "revised_prompt": "a circle"}], "background": "opaque",
         "output_format": "png", "quality": "low", "size": "1024x1024",
         "usage": {"total_tokens": 282, "input_tokens": 10, "output_tokens": 272,
                   "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}}}
VERDICT = {"id": "modr-1", "model": "omni-moderation-2024-09-26",
           "results": [{"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9},
                        "category_applied_input_types": {"violence": ["text"]}}]}
RANKS = {"id": "07734bd2", "results": [{"index": 1, "relevance_score": 0.99}, {"index": 0, "relevance_score": 0.1}],
         "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}}
PAGES = {"pages": [{"index": 0, "markdown": "# test", "dimensions": {"dpi": 200, "height": 2200, "width": 1700},
                    "images": [{"id": "img-0.jpeg", "top_left_x": 1, "top_left_y": 2, "bottom_right_x": 3,
                                "bottom_right_y": 4, "image_base64": f"data:image/png;base64,{PNG}"}]}],
         "model": "mistral-ocr-2505-completion", "document_annotation": None,
         "usage_info": {"pages_processed": 1, "doc_size_bytes": 9}}


def of_openai(url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def of_cohere(url: str, key: str) -> cohere.ClientV2:
    return cohere.ClientV2(base_url=url, api_key=key, max_retries=0, timeout=PATIENCE)


def of_cohere_v1(url: str, key: str) -> cohere.Client:
    return cohere.Client(base_url=url, api_key=key, max_retries=0, timeout=PATIENCE)


def of_mistral(url: str, key: str) -> mistralai.client.Mistral:
    return mistralai.client.Mistral(server_url=url, api_key=key, timeout_ms=int(PATIENCE * 1000))


@dataclasses.dataclass
class Mode:
    """A request in an SDK's words, the provider that it is for, and what that answers."""

    sdk: Callable
    model: str
    ask: Callable[[Any, str], Any]
    answer: Any
    content_type: str = "application/json"


def plain(answer: Any) -> Any:
    """What an SDK read, without the model's name: Hale says the one that was asked for."""
    if isinstance(answer, bytes):
        return answer
    read = json.loads(answer.model_dump_json()) if hasattr(answer, "model_dump_json") else answer
    read.pop("model", None)
    return read


MODES = {
    "an image": Mode(
        of_openai, "openai/gpt-image-1",
        lambda client, model: client.images.generate(
            model=model, prompt="a blue circle", n=1, size="1024x1024", quality="low", user="u-1"), IMAGE),
    "an image by its address": Mode(
        of_openai, "openai/dall-e-3",
        lambda client, model: client.images.generate(model=model, prompt="a circle", response_format="url"),
        {"created": 1700000000, "data": [{"url": "https://example.com/i.png"}]}),
    "speech": Mode(
        of_openai, "openai/tts-1",
        lambda client, model: client.audio.speech.create(
            model=model, input="Guten Tag, ëäö", voice="nova", response_format="mp3", speed=1.25).read(),
        SOUND, "audio/mpeg"),
    "speech piece by piece": Mode(
        of_openai, "openai/gpt-4o-mini-tts", lambda client, model: pieces(client, model), SOUND, "audio/wav"),
    "a moderation": Mode(
        of_openai, "openai/omni-moderation-latest",
        lambda client, model: client.moderations.create(model=model, input=[
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]), VERDICT),
    "a rerank": Mode(
        of_cohere, "cohere/rerank-v3.5",
        lambda client, model: client.rerank(
            model=model, query="capital?", documents=["Oslo", "Paris"], top_n=2, max_tokens_per_doc=512), RANKS),
    "a rerank of the first version": Mode(
        of_cohere_v1, "cohere/rerank-v3.5",
        lambda client, model: client.rerank(
            model=model, query="capital?", documents=[{"text": "Oslo"}, {"text": "Paris"}], return_documents=True),
        {**RANKS, "results": [{"index": 1, "relevance_score": 0.99, "document": {"text": "Paris"}}]}),
    "OCR of a document": Mode(
        of_mistral, "mistral/mistral-ocr-latest",
        lambda client, model: client.ocr.process(
            model=model, document={"type": "document_url", "document_url": PDF}, pages=[0],
            include_image_base64=True), PAGES),
    "OCR of an image": Mode(
        of_mistral, "mistral/mistral-ocr-latest",
        lambda client, model: client.ocr.process(
            model=model, document={"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}), PAGES),
}


def pieces(client: openai.OpenAI, model: str) -> bytes:
    with client.audio.speech.with_streaming_response.create(model=model, input="hi", voice="nova") as response:
        return b"".join(response.iter_bytes())


def in_front(up, mode: Mode) -> dict:
    """The deployment of that mode at the upstream."""
    entry = deployment(GROUP, up, id="a", model=mode.model, api_key=KEY)
    if mode.model.startswith("cohere/"):
        entry["litellm_params"]["api_base"] = up.url
    return entry


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_hale_sends_what_the_sdk_sends_and_is_read_as_the_provider_is(hale, upstream, mode):
    up = upstream(*[reply(mode.answer, content_type=mode.content_type)] * 2)
    direct = mode.ask(mode.sdk(up.url, KEY), mode.model.split("/")[1])
    gateway = hale(in_front(up, mode))
    through = mode.ask(mode.sdk(gateway.url, MASTER_KEY), GROUP)
    expected, sent = up.requests
    assert (sent.method, sent.path, sent.json) == (expected.method, expected.path, expected.json)
    assert sent.header("authorization") == expected.header("authorization") == f"Bearer {KEY}"
    assert plain(through) == plain(direct)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_an_answer_of_the_wrong_type_is_the_siblings_turn(hale, upstream, mode):
    wrong = reply(b"ID3sound", content_type="audio/mpeg")
    if mode.content_type != "application/json":
        wrong = reply({"error": {"message": "no", "type": "server_error"}})
    for bad in (wrong, html(), reply({}), reply(b"")):
        first, second = upstream(bad), upstream(reply(mode.answer, content_type=mode.content_type))
        entries = [in_front(first, mode), in_front(second, mode)]
        for weight, entry in zip((1, 0), entries):
            entry["litellm_params"]["weight"] = weight
            entry["model_info"]["id"] = f"w{weight}"
        gateway = hale(*entries)
        read = mode.ask(mode.sdk(gateway.url, MASTER_KEY), GROUP)
        assert (len(first.requests), len(second.requests)) == (1, 1)
        assert first.requests[0].body == second.requests[0].body
        assert plain(read)


def test_errors_are_read_as_errors(hale, upstream):
    refused = error(400, "Invalid value: 'loud'.", "invalid_request_error", "voice")
    speech, rerank, ocr = MODES["speech"], MODES["a rerank"], MODES["OCR of a document"]
    with pytest.raises(openai.BadRequestError) as caught:
        speech.ask(of_openai(hale(in_front(upstream(refused), speech)).url, MASTER_KEY), GROUP)
    assert caught.value.body["param"] == "voice" and "loud" in caught.value.message
    up = upstream(reply({"id": "1", "message": "invalid request: list of documents must not be empty"}, 400))
    with pytest.raises(cohere.BadRequestError) as of_cohere_sdk:
        rerank.ask(of_cohere(hale(in_front(up, rerank)).url, MASTER_KEY), GROUP)
    assert "must not be empty" in str(of_cohere_sdk.value.body)
    up = upstream(reply({"object": "error", "message": "Document too large", "type": "invalid_request",
                         "param": None, "code": "3310"}, 400))
    with pytest.raises(mistralai.client.errors.SDKError) as of_mistral_sdk:
        ocr.ask(of_mistral(hale(in_front(up, ocr)).url, MASTER_KEY), GROUP)
    assert of_mistral_sdk.value.status_code == 400 and "Document too large" in of_mistral_sdk.value.body


def test_the_client_for_azure_reaches_them_too(hale, upstream):
    up = upstream(reply(IMAGE), reply(SOUND, content_type="audio/mpeg"))
    gateway = hale({"model_name": GROUP, "litellm_params": {
        "model": "azure/my-model", "api_key": KEY, "api_base": up.url, "api_version": "2024-10-21"}})
    client = gateway.azure_client()
    assert client.images.generate(model=GROUP, prompt="x").data[0].b64_json == PNG
    assert client.audio.speech.create(model=GROUP, input="x", voice="nova").read() == SOUND
    direct = openai.AzureOpenAI(azure_endpoint=up.url, api_version="2024-10-21", api_key=KEY, max_retries=0)
    up.plan = type(up.plan)(reply(IMAGE), reply(SOUND, content_type="audio/mpeg"))
    direct.images.generate(model="my-model", prompt="x")
    direct.audio.speech.create(model="my-model", input="x", voice="nova")
    ours, theirs = up.requests[:2], up.requests[2:]
    assert [(it.method, it.path, it.json, it.header("api-key")) for it in ours] == \
        [(it.method, it.path, it.json, it.header("api-key")) for it in theirs]
