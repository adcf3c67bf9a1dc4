"""AWS's SDK and Anthropic's for Bedrock as oracles: what they send for a logical request, Hale sends for the same request of an
OpenAI or an Anthropic client, signed in the same way, and what they read from an answer, clients read through Hale."""

import base64
import json
import struct
import urllib.parse
import zlib

import anthropic
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.session
import pytest

from gateway import deployment
from upstream import Plan, reply

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-central-1"
NOVA = "us.amazon.nova-pro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = b"\x89PNG\r\n\x1a\n"
IMAGE = base64.b64encode(PNG).decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
TOOLS = [{"toolSpec": {"name": "weather", "description": "d", "inputSchema": {"json": SCHEMA}}}]


def user(words):
    return {"role": "user", "content": words}


def says(role, *blocks):
    return {"role": role, "content": list(blocks)}


def tool_use(id, city):
    return {"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}}


def function(id, city):
    return {"id": id, "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


def call(id, city):
    return {"toolUse": {"toolUseId": id, "name": "weather", "input": {"city": city}}}


def result(id, words):
    return {"toolResult": {"toolUseId": id, "content": [{"text": words}]}}


#: One logical request: the words of OpenAI's SDK, of Anthropic's, and of AWS's.
LOGICAL = {
    "text": (
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [user("hi")], "max_tokens": 10},
        {"messages": [says("user", {"text": "hi"})], "inferenceConfig": {"maxTokens": 10}}),
    "system and sampling": (
        {"messages": [{"role": "system", "content": "Be brief."}, user("hi")], "max_tokens": 10,
         "temperature": 0.3, "top_p": 0.9, "stop": ["END", "STOP"]},
        {"system": "Be brief.", "messages": [user("hi")], "max_tokens": 10,
         "extra_body": {"temperature": 0.3, "top_p": 0.9}, "stop_sequences": ["END", "STOP"]},
        {"system": [{"text": "Be brief."}], "messages": [says("user", {"text": "hi"})],
         "inferenceConfig": {"maxTokens": 10, "temperature": 0.3, "topP": 0.9, "stopSequences": ["END", "STOP"]}}),
    "an image": (
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}]}], "max_tokens": 10},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}]}],
         "max_tokens": 10},
        {"messages": [says("user", {"text": "what?"}, {"image": {"format": "png", "source": {"bytes": PNG}}})],
         "inferenceConfig": {"maxTokens": 10}}),
    "tools": (
        {"messages": [user("weather?")], "max_tokens": 10, "tools": OPENAI_TOOLS,
         "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"messages": [user("weather?")], "max_tokens": 10, "tools": ANTHROPIC_TOOLS,
         "tool_choice": {"type": "tool", "name": "weather"}},
        {"messages": [says("user", {"text": "weather?"})], "inferenceConfig": {"maxTokens": 10},
         "toolConfig": {"tools": TOOLS, "toolChoice": {"tool": {"name": "weather"}}}}),
    "results of parallel calls": (
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": "Let me look.",
                       "tool_calls": [function("t1", "Paris"), function("t2", "Oslo")]},
                      {"role": "tool", "tool_call_id": "t2", "content": "3"},
                      {"role": "tool", "tool_call_id": "t1", "content": "15"}],
         "max_tokens": 10, "tools": OPENAI_TOOLS},
        {"messages": [user("weather?"),
                      {"role": "assistant", "content": [
                          {"type": "text", "text": "Let me look."}, tool_use("t1", "Paris"), tool_use("t2", "Oslo")]},
                      {"role": "user", "content": [
                          {"type": "tool_result", "tool_use_id": "t2", "content": "3"},
                          {"type": "tool_result", "tool_use_id": "t1", "content": "15"}]}],
         "max_tokens": 10, "tools": ANTHROPIC_TOOLS},
        {"messages": [says("user", {"text": "weather?"}),
                      says("assistant", {"text": "Let me look."}, call("t1", "Paris"), call("t2", "Oslo")),
                      says("user", result("t1", "15"), result("t2", "3"))],
         "inferenceConfig": {"maxTokens": 10}, "toolConfig": {"tools": TOOLS}}),
}

CONTENT = [{"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}, {"text": "Let me look."},
           call("tooluse_1", "Paris"), call("tooluse_2", "Oslo")]
USAGE = {"inputTokens": 4, "outputTokens": 7, "totalTokens": 16, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 3}
ANSWER = {"output": {"message": {"role": "assistant", "content": CONTENT}}, "stopReason": "tool_use",
          "usage": USAGE, "metrics": {"latencyMs": 1}}


def frame(kind, payload, of="event"):
    name = ":event-type" if of == "event" else ":exception-type"
    headers = b""
    for key, value in ((name, kind), (":content-type", "application/json"), (":message-type", of)):
        headers += struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
    body = json.dumps(payload).encode()
    head = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    whole = head + struct.pack("!I", zlib.crc32(head)) + headers + body
    return whole + struct.pack("!I", zlib.crc32(whole))


def frames():
    yield frame("messageStart", {"role": "assistant"})
    for at, block in enumerate(CONTENT):
        if "toolUse" in block:
            use = block["toolUse"]
            yield frame("contentBlockStart", {"contentBlockIndex": at, "start": {
                "toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}})
            text = json.dumps(use["input"])
            deltas = [{"toolUse": {"input": text[:5]}}, {"toolUse": {"input": text[5:]}}]
        elif "text" in block:
            deltas = [{"text": block["text"][:4]}, {"text": block["text"][4:]}]
        else:
            deltas = [{"reasoningContent": {"text": "Hm."}}, {"reasoningContent": {"signature": "c2ln"}}]
        for delta in deltas:
            yield frame("contentBlockDelta", {"contentBlockIndex": at, "delta": delta})
        yield frame("contentBlockStop", {"contentBlockIndex": at})
    yield frame("messageStop", {"stopReason": "tool_use"})
    yield frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})


STREAM = "application/vnd.amazon.eventstream"


def answers(stream):
    return reply(b"".join(frames()), content_type=STREAM) if stream else reply(ANSWER)


def aws(up):
    """AWS's SDK, pointed at the provider itself."""
    session = botocore.session.get_session()
    config = botocore.config.Config(retries={"max_attempts": 0})
    return session.create_client(
        "bedrock-runtime", region_name=REGION, endpoint_url=up.url, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY, config=config)


def entry(up, model=NOVA, **more):
    entry = deployment("smart", model=f"bedrock/{model}", aws_access_key_id=ACCESS_KEY,
                       aws_secret_access_key=SECRET_KEY, aws_region_name=REGION, api_base=up.url, **more)
    del entry["litellm_params"]["api_key"]
    return entry


def by_client(client, gateway, request, stream):
    if client == "anthropic":
        got = gateway.anthropic_client().messages.create(model="smart", stream=stream, **request)
    else:
        got = gateway.client().chat.completions.create(model="smart", stream=stream, **request)
    return list(got) if stream else [got]


def signature(request):
    """What botocore signs of what arrived: the signed headers, at the time that the request names."""
    sent = request.header("authorization")
    names = sent.split("SignedHeaders=")[1].split(",")[0].split(";")
    made = botocore.awsrequest.AWSRequest(
        method=request.method, url=f"http://{request.header('host')}{request.path}", data=request.body,
        headers={name: request.header(name) for name in names if name != "host"})
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(ACCESS_KEY, SECRET_KEY), "bedrock", REGION)
    made.context["timestamp"] = request.header("x-amz-date")
    canonical = signer.canonical_request(made)
    return signer.signature(signer.string_to_sign(made, canonical), made), sent.split("Signature=")[1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("name", LOGICAL)
def test_bedrock_is_asked_as_aws_own_sdk_asks_it(hale, upstream, client, name, stream):
    chat, messages, own = LOGICAL[name]
    up = upstream(Plan(then=answers(stream)))
    gateway = hale(entry(up))
    ask = aws(up).converse_stream if stream else aws(up).converse
    got = ask(modelId=NOVA, **own)
    list(got.get("stream", ()))
    by_client(client, gateway, dict(messages if client == "anthropic" else chat), stream)
    oracle, ours = up.requests
    assert (ours.method, ours.path) == (oracle.method, oracle.path)
    assert ours.json == oracle.json
    expected, found = signature(ours)
    assert found == expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_openai_client_reads_from_hale_what_aws_sdk_reads(hale, upstream, stream):
    up = upstream(Plan(then=answers(stream)))
    gateway = hale(entry(up))
    own = {"modelId": NOVA, "messages": [says("user", {"text": "hi"})]}
    if stream:
        events = list(aws(up).converse_stream(**own)["stream"])
        deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
        text = "".join(delta.get("text", "") for delta in deltas)
        inputs = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
        counted = events[-1]["metadata"]["usage"]
    else:
        got = aws(up).converse(**own)
        blocks = got["output"]["message"]["content"]
        text = "".join(block.get("text", "") for block in blocks)
        inputs = "".join(json.dumps(block["toolUse"]["input"]) for block in blocks if "toolUse" in block)
        counted = got["usage"]
    more = {"stream_options": {"include_usage": True}} if stream else {}
    read = by_client("openai", gateway, {"messages": [user("hi")], "tools": OPENAI_TOOLS, **more}, stream)
    if stream:
        deltas = [chunk.choices[0].delta for chunk in read if chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == text
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        assert "".join(call.function.arguments or "" for call in calls) == inputs
        usage = read[-1].usage
    else:
        message = read[0].choices[0].message
        assert message.content == text
        assert [call.id for call in message.tool_calls] == ["tooluse_1", "tooluse_2"]
        arguments = "".join(json.dumps(json.loads(call.function.arguments)) for call in message.tool_calls)
        assert arguments == inputs
        usage = read[0].usage
    prompt = counted["inputTokens"] + counted["cacheReadInputTokens"] + counted["cacheWriteInputTokens"]
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, counted["outputTokens"])


MESSAGE = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude",
           "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn", "stop_sequence": None,
           "usage": {"input_tokens": 4, "output_tokens": 7}}


def test_claude_is_asked_as_anthropics_own_sdk_for_bedrock_asks_it(hale, upstream):
    up = upstream(Plan(then=reply(MESSAGE)))
    gateway = hale(entry(up, CLAUDE))
    request = {"messages": [user("hi")], "max_tokens": 10, "tools": ANTHROPIC_TOOLS}
    own = anthropic.AnthropicBedrock(aws_access_key=ACCESS_KEY, aws_secret_key=SECRET_KEY, aws_region=REGION,
                                     base_url=up.url)
    expected = own.messages.create(model=CLAUDE, **request)
    got = gateway.anthropic_client().messages.create(model="smart", **request)
    oracle, ours = up.requests
    # One SDK leaves the colon of a name as it is, the other escapes it.
    assert urllib.parse.unquote(ours.path) == urllib.parse.unquote(oracle.path)
    theirs = oracle.json
    version = theirs.pop("anthropic_version")
    body = ours.json
    assert body.pop("anthropic_version") in (version, "bedrock-2023-05-31")
    assert body == theirs
    assert got.content[0].text == expected.content[0].text == "Hello."
    assert (got.usage.input_tokens, got.usage.output_tokens) == (4, 7)
    expected, found = signature(ours)
    assert found == expected
