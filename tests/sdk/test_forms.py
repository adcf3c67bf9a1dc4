"""Transcriptions, edits of images, files and batches: what the official SDK sends to a provider, Hale sends for the
same request, and what it reads from the provider, it reads from Hale."""

from __future__ import annotations

import io
import json
from typing import Any

import openai
import pytest
from requests_toolbelt.multipart.decoder import MultipartDecoder

from gateway import MASTER_KEY, PATIENCE, deployment
from upstream import Plan, Request, error, reply

KEY = "sk-upstream-secret"
GROUP = "ours"
VERSION = "2024-10-21"
SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt \r\n--boundary\r\n\xff" * 2000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
LINES = "".join(json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/chat/completions", "body": {
    "model": GROUP, "messages": [{"role": "user", "content": "hi ü"}]}}) + "\n" for i in range(3)).encode()

SPOKEN = {"text": "hello", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18,
                                     "input_token_details": {"text_tokens": 0, "audio_tokens": 14}}}
VERBOSE = {"task": "transcribe", "language": "english", "duration": 0.7, "text": "hello",
           "words": [{"word": "hello", "start": 0.0, "end": 0.5}]}
SUBTITLES = b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n"
IMAGE = {"created": 1700000000, "data": [{"b64_json": "aGk="}],
         "usage": {"total_tokens": 12, "input_tokens": 9, "output_tokens": 3,
                   "input_tokens_details": {"text_tokens": 4, "image_tokens": 5}}}
FILE = {"id": "file-abc123", "object": "file", "bytes": len(LINES), "created_at": 1700000000, "filename": "a.jsonl",
        "purpose": "batch", "status": "processed", "expires_at": None}
BATCH = {"id": "batch_abc123", "object": "batch", "endpoint": "/v1/chat/completions", "errors": None,
         "input_file_id": "file-abc123", "completion_window": "24h", "status": "completed",
         "output_file_id": "file-out", "error_file_id": None, "created_at": 1700000000,
         "request_counts": {"total": 3, "completed": 3, "failed": 0}, "metadata": {"team": "a"}}


def listed(*items: dict) -> dict:
    return {"object": "list", "data": list(items), "first_id": items[0]["id"], "last_id": items[-1]["id"],
            "has_more": False}


def of_openai(url: str, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def of_azure(url: str, key: str = KEY) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(azure_endpoint=url, api_version=VERSION, api_key=key, max_retries=0, timeout=PATIENCE)


def sound() -> tuple:
    return "tape.wav", io.BytesIO(SOUND), "audio/wav"


#: What is asked, and what the provider answers to it.
FORMS = {
    "a transcription": (
        lambda client, model: client.audio.transcriptions.create(
            model=model, file=sound(), language="en", prompt="hm", temperature=0.2), reply(SPOKEN)),
    "a transcription with times": (
        lambda client, model: client.audio.transcriptions.create(
            model=model, file=sound(), response_format="verbose_json", timestamp_granularities=["word", "segment"]),
        reply(VERBOSE)),
    "subtitles": (
        lambda client, model: client.audio.transcriptions.create(model=model, file=sound(), response_format="srt"),
        reply(SUBTITLES, content_type="text/plain; charset=utf-8")),
    "an edit of an image": (
        lambda client, model: client.images.edit(model=model, image=("a.png", PNG), prompt="a star", n=1), reply(IMAGE)),
    "an edit of two images": (
        lambda client, model: client.images.edit(
            model=model, image=[("a.png", PNG), ("b.png", PNG)], mask=("m.png", PNG), prompt="ein Stern, größer"),
        reply(IMAGE)),
}


def parts(request: Request) -> list[tuple]:
    """The parts of a form: their heads and contents, whatever the boundary is."""
    decoded = MultipartDecoder(request.body, request.header("content-type"))
    return [(tuple(sorted(part.headers.items())), part.content) for part in decoded.parts]


def asked(request: Request) -> tuple:
    """What of a request decides where it goes, who asks, and for what."""
    what = parts(request) if (request.header("content-type") or "").startswith("multipart") else request.body
    return request.method, request.path, request.header("authorization"), request.header("api-key"), what


def read(answer: Any) -> Any:
    return json.loads(answer.model_dump_json()) if hasattr(answer, "model_dump_json") else answer


def entry(up, azure: bool, id: str = "a", **more: Any) -> dict:
    if azure:
        params = {"model": "azure/my-model", "api_key": KEY, "api_base": up.url, "api_version": VERSION}
        return {"model_name": GROUP, "litellm_params": {**params, **more}, "model_info": {"id": id}}
    return deployment(GROUP, up, id=id, model="openai/my-model", api_key=KEY, **more)


@pytest.mark.parametrize("azure", [False, True], ids=["openai", "azure"])
@pytest.mark.parametrize("name", FORMS)
def test_a_form_arrives_as_the_sdk_sends_it_and_is_answered_alike(hale, upstream, name, azure):
    ask, answer = FORMS[name]
    up = upstream(answer, answer)
    sdk = of_azure if azure else of_openai
    direct = ask(sdk(up.url), "my-model")
    through = ask(sdk(hale(entry(up, azure)).url, MASTER_KEY), GROUP)
    expected, sent = up.requests
    assert asked(sent) == asked(expected)
    assert read(through) == read(direct)


def test_a_transcript_is_streamed_as_the_provider_streams_it(hale, upstream):
    events = [{"type": "transcript.text.delta", "delta": "hel"}, {"type": "transcript.text.delta", "delta": "lo"},
              {"type": "transcript.text.done", **SPOKEN}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    streamed = reply(body, content_type="text/event-stream")
    up = upstream(streamed, streamed)

    def ask(client, model):
        stream = client.audio.transcriptions.create(model=model, file=sound(), stream=True)
        return [event.model_dump() for event in stream]

    direct = ask(of_openai(up.url), "my-model")
    assert ask(of_openai(hale(entry(up, False)).url, MASTER_KEY), GROUP) == direct
    assert asked(up.requests[1]) == asked(up.requests[0])


def test_controls_in_a_form_stay_with_the_gateway(hale, upstream):
    bad, good = upstream(Plan(then=error(500))), upstream(reply(SPOKEN))
    other = {**entry(good, False, id="b"), "model_name": "other"}
    client = of_openai(hale(entry(bad, False), other).url, MASTER_KEY)
    got = client.audio.transcriptions.create(
        model=GROUP, file=sound(), extra_body={"num_retries": 1, "fallbacks": ["other"], "metadata": {"tags": ["x"]}})
    assert got.text == "hello" and len(bad.requests) == 2
    names = [dict(head)[b"Content-Disposition"] for head, _ in parts(good.requests[0])]
    assert len(names) == 2 and b'name="model"' in names[0] + names[1] and b'name="file"' in names[0] + names[1]


@pytest.mark.parametrize("azure", [False, True], ids=["openai", "azure"])
def test_files_and_batches_are_asked_as_the_sdk_asks_and_read_alike(hale, upstream, azure):
    """From the upload to the result: the ids are others, and everything else is the same."""
    script = [reply(FILE), reply(FILE), reply(listed(FILE)), reply(BATCH), reply(BATCH), reply(listed(BATCH)),
              reply({**BATCH, "status": "cancelling"}),
              reply(b'{"custom_id": "1"}\n', content_type="application/octet-stream"),
              reply({"id": "file-abc123", "object": "file", "deleted": True})]
    up = upstream(Plan(*script, *script))
    sdk = of_azure if azure else of_openai

    def walk(client):
        file = client.files.create(file=("a.jsonl", LINES), purpose="batch",
                                   expires_after={"anchor": "created_at", "seconds": 3600})
        yield file
        yield client.files.retrieve(file.id)
        yield client.files.list(purpose="batch", limit=5)
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions",
                                      completion_window="24h", metadata={"team": "a"})
        yield batch
        yield client.batches.retrieve(batch.id)
        yield client.batches.list(limit=5)
        yield client.batches.cancel(batch.id)
        yield client.files.content(batch.output_file_id).content
        yield client.files.delete(file.id)

    direct = [read(one) for one in walk(sdk(up.url))]
    through = [read(one) for one in walk(sdk(hale(entry(up, azure)).url, MASTER_KEY))]
    expected, sent = up.requests[:len(script)], up.requests[len(script):]
    own = [(part[0], part[1].replace(b'"ours"', b'"my-model"')) for part in parts(expected[0])]
    assert (parts(sent[0]), asked(sent[0])[:4]) == (own, asked(expected[0])[:4])
    for ours, theirs in list(zip(sent, expected))[1:]:
        assert asked(ours)[:4] == asked(theirs)[:4]
        assert (json.loads(ours.body) if ours.body else None) == (json.loads(theirs.body) if theirs.body else None)
    assert [anonymous(one) for one in through] == [anonymous(one) for one in direct]
    # The same thing has the same id wherever it stands.
    assert through[3]["input_file_id"] == through[0]["id"] == through[2]["data"][0]["id"]
    assert through[5]["data"][0]["id"] == through[3]["id"]


def anonymous(value: Any) -> Any:
    """Ids become their kind."""
    if isinstance(value, dict):
        return {key: anonymous(one) for key, one in value.items()}
    if isinstance(value, list):
        return [anonymous(one) for one in value]
    if isinstance(value, str):
        return next((kind for kind in ("file-", "batch_") if value.startswith(kind)), value)
    return value


def test_pages_of_a_list_follow_each_other(hale, upstream):
    second = {**FILE, "id": "file-def456"}
    up = upstream(Plan(reply({**listed(FILE), "has_more": True}), reply(listed(second))))
    client = of_openai(hale(entry(up, False)).url, MASTER_KEY)
    assert len(list(client.files.list(limit=1))) == 2
    assert [request.path for request in up.requests] == ["/v1/files?limit=1", "/v1/files?limit=1&after=file-abc123"]


def test_errors_are_read_as_errors(hale, upstream):
    refused = error(400, "Invalid file format.", "invalid_request_error", "file")
    client = of_openai(hale(entry(upstream(refused), False)).url, MASTER_KEY)
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model=GROUP, file=sound())
    assert caught.value.body["param"] == "file" and "Invalid file format" in caught.value.message
    with pytest.raises(openai.NotFoundError) as unknown:
        client.files.retrieve("file-of-another-account")
    assert unknown.value.body["reason"] == "unknown_file"
