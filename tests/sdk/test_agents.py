"""What agents do with the gateway: Claude Code's style of `/v1/messages`, and LangChain."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from claude import ANTHROPIC_TOOLS, CALL, TEXT, THOUGHT, answer, answer_on, deployment_on
from gateway import MASTER_KEY
from upstream import Plan

BETAS = ["interleaved-thinking-2025-05-14", "fine-grained-tool-streaming-2025-05-14"]
SYSTEM = [{"type": "text", "text": "You are a careful agent.", "cache_control": {"type": "ephemeral"}}]


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_a_coding_agent_counts_thinks_calls_and_answers(hale, upstream, wire):
    blocks = (THOUGHT, CALL) if wire == "anthropic" else (CALL,)
    up = upstream(Plan(then=answer_on(wire, *blocks)))
    client = hale(deployment_on(wire, up, extra_headers={"anthropic-beta": "context-1m-2025-08-07"})).anthropic_client()
    common = {"model": "smart", "system": SYSTEM, "tools": ANTHROPIC_TOOLS}
    messages = [{"role": "user", "content": [
        {"type": "text", "text": "weather?", "cache_control": {"type": "ephemeral"}}]}]
    counted = client.beta.messages.count_tokens(messages=messages, betas=BETAS, **common)
    assert counted.input_tokens > 0

    request = {**common, "max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048},
               "metadata": {"user_id": "user_" + "0" * 80}, "betas": BETAS}
    with client.beta.messages.stream(messages=messages, **request) as stream:
        said = stream.get_final_message()
    assert said.stop_reason == "tool_use"
    call = next(block for block in said.content if block.type == "tool_use")
    assert call.input == {"city": "Paris"}
    sent = up.requests[-1]
    if wire == "anthropic":
        assert sent.path == "/v1/messages"
        assert sent.header("anthropic-beta") == ",".join(sorted([*BETAS, "context-1m-2025-08-07"]))
        assert sent.json["system"] == SYSTEM
        assert said.content[0].signature == THOUGHT["signature"]
    else:
        assert sent.header("anthropic-beta") == "context-1m-2025-08-07"  # the deployment's own header
        assert "reasoning_effort" not in sent.json  # this model does not reason
        assert len(sent.json["user"]) == 64

    up.plan._then = answer_on(wire, TEXT)
    messages += [{"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in said.content]},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "15 C"}]}]
    with client.beta.messages.stream(messages=messages, **request) as stream:
        text = "".join(stream.text_stream)
    assert text == "Hello world"
    last = up.requests[-1].json["messages"]
    if wire == "anthropic":
        assert last[1]["content"][0]["signature"] == THOUGHT["signature"]
    else:
        assert last[-1] == {"role": "tool", "tool_call_id": call.id, "content": "15 C"}


@tool
def get_weather(city: str) -> str:
    """The weather"""
    return "15 C"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@pytest.mark.parametrize("model", [ChatOpenAI, ChatAnthropic])
def test_langchain_runs_a_tool_through_either_wire(hale, upstream, model, wire, stream):
    up = upstream(answer_on(wire, CALL), answer_on(wire, TEXT))
    gateway = hale(deployment_on(wire, up))
    base = gateway.url + "/v1" if model is ChatOpenAI else gateway.url
    chat = model(model="smart", api_key=MASTER_KEY, base_url=base, max_retries=0, max_tokens=100,
                 stream_usage=True).bind_tools([get_weather])

    def run(messages):
        if not stream:
            return chat.invoke(messages)
        whole = None
        for piece in chat.stream(messages):
            whole = piece if whole is None else whole + piece
        return whole

    messages = [SystemMessage("Be brief."), HumanMessage("weather?")]
    asked = run(messages)
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("get_weather", {"city": "Paris"})]
    messages += [asked, ToolMessage(get_weather.invoke(asked.tool_calls[0]["args"]),
                                    tool_call_id=asked.tool_calls[0]["id"])]
    said = run(messages)
    content = said.content if isinstance(said.content, str) else "".join(part["text"] for part in said.content)
    assert content == "Hello world"
    assert said.usage_metadata["output_tokens"] == 5
    assert len(up.requests) == 2
