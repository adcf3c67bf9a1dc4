"""A model that works through a script, at providers that refuse what the real ones refuse.

Used by `test_programs.py`. Always true: what a request gets depends on the request alone (the results in its history say
how far the script is), so that a program may send one twice; every refusal is kept, and so is every result of a call.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional

import claude
import upstream as chat_wire
from programs import FINAL, Program
from upstream import Behaviour, Exchange, Upstream, reply, sse

#: What a program is asked to do.
TASK = "Run the steps, one after the other, and say when all are done."
THOUGHT = "Let me think about the next step."
SIGNATURE = "c2lnbmVkIGJ5IHRoZSBwcm92aWRlcg=="
#: What a command of the script prints, with the number of the call.
PRINTED = "printed-by-call-{}"


@dataclass
class Scenario:
    """What happens in a session."""

    #: How many calls each answer before the last has.
    calls: list[int] = field(default_factory=lambda: [1])
    #: Whether each answer begins with reasoning.
    thinks: bool = False
    #: Whether a first deployment fails.
    first_fails: bool = False
    #: Whether the last answer is cut in the middle of its text.
    is_cut: bool = False
    #: Seconds before the first token of the first answer.
    delay: float = 0.0
    #: Bytes that each command prints besides its mark.
    output: int = 0


SCENARIOS = {
    "one call": Scenario(),
    "five in a row": Scenario([1] * 5),
    "two in one answer": Scenario([2]),
    "thinking": Scenario([1, 1], thinks=True),
    "a first deployment that fails": Scenario(first_fails=True),
    "a stream that is cut": Scenario(is_cut=True),
    "a late first token": Scenario(delay=8.0),
    "a result of 200 KB": Scenario(output=200_000),
}


def scenario_of(program: Program, scenario: Scenario) -> Scenario:
    """The scenario as far as a program can play it."""
    if not program.has_tools:
        return replace(scenario, calls=[])
    return scenario if program.runs_many else replace(scenario, calls=[1] * sum(scenario.calls))


def command(number: int, scenario: Scenario) -> str:
    """What the shell runs in that call."""
    # The mark is put together by the shell, so that it is not in the call.
    mark = f"echo printed-by''-call-{number}"
    if scenario.output:
        return f"{mark}; head -c {scenario.output} /dev/zero | tr '\\0' x"
    return mark


class Refusal(Exception):
    """What a provider says about a request that it does not take."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


@dataclass
class Turn:
    """What a provider reads of a request, whatever its wire."""

    #: The results of the calls so far, in order.
    results: list[str]
    #: The tool that runs a command, and its arguments, with `LINE` or `LINES` for the command.
    shell: Optional[tuple[str, dict[str, Any]]]
    streams: bool
    #: Whether the provider shows reasoning: `never`, `may` or `always`.
    thinks: str = "may"


class Model:
    """Plays a scenario on one wire."""

    def __init__(self, scenario: Scenario, read: Callable[[Any, Exchange], Turn],
                 write: Callable[[Exchange, Turn, list[dict], "Model"], None],
                 refuse: Callable[[Refusal], Behaviour], last: Optional[str] = None):
        self.scenario = scenario
        self.last = last
        self.refusals: list[str] = []
        self.results: set[str] = set()
        self.answered = 0
        self._read, self._write, self._refuse = read, write, refuse
        self._lock = threading.Lock()
        self._is_late = False

    def __call__(self, exchange: Exchange) -> None:
        try:
            turn = self._read(exchange.request.json, exchange)
        except Refusal as refusal:
            with self._lock:
                self.refusals.append(f"{refusal} ({exchange.request.path})")
            self._refuse(refusal)(exchange)
            return
        with self._lock:
            for result in turn.results:
                self.results |= set(re.findall(r"printed-by-call-\d+", result))
            late, self._is_late = not self._is_late and bool(turn.shell), True
            self.answered += 1
        if late and self.scenario.delay:
            time.sleep(self.scenario.delay)
        self._write(exchange, turn, self.blocks(turn), self)

    def blocks(self, turn: Turn) -> list[dict]:
        """The next answer."""
        thought = [{"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}]
        if turn.thinks == "never" or (turn.thinks == "may" and not self.scenario.thinks):
            thought = []
        done = len(turn.results)
        for step, count in enumerate(self.scenario.calls):
            first = sum(self.scenario.calls[:step])
            if turn.shell and done < first + count:
                name, arguments = turn.shell
                calls = [{"type": "tool_use", "id": f"toolu_{number:04}", "name": name,
                          "input": arguments_of(arguments, command(number, self.scenario))}
                         for number in range(first, first + count)]
                return [*thought, {"type": "text", "text": f"Step {step}."}, *calls]
        text = {"type": "text", "text": FINAL}
        if self.last is None or not turn.shell:
            return [*thought, text]
        name, arguments = turn.shell
        call = {"type": "tool_use", "id": f"toolu_{done:04}", "name": name, "input": arguments_of(arguments, self.last)}
        return [*thought, text, call]

    def expected(self) -> set[str]:
        """The marks of all results."""
        return {PRINTED.format(number) for number in range(sum(self.scenario.calls))}


def arguments_of(template: dict[str, Any], line: str) -> dict[str, Any]:
    return {name: line if value is LINE else [line] if value is LINES else value for name, value in template.items()}


#: In the arguments of a shell: where the command stands.
LINE, LINES = object(), object()


def shell_of(tools: list[tuple[str, dict]]) -> Optional[tuple[str, dict[str, Any]]]:
    """The tool that runs a command, by its schema, and its arguments."""
    def rank(tool: tuple[str, dict]) -> int:
        words = ("bash", "shell", "terminal", "exec", "run", "command")
        return next((i for i, word in enumerate(words) if word in tool[0].lower()), len(words))

    for name, schema in sorted(tools, key=rank):
        properties = schema.get("properties") or {}
        line = next((one for one in ("command", "cmd", "commands", "script") if one in properties), None)
        if line is None:
            continue
        shape = properties[line]
        kinds = {shape.get("type")} | {one.get("type") for one in shape.get("anyOf", []) + shape.get("oneOf", [])}
        given: dict[str, Any] = {line: LINE if "string" in kinds else LINES}
        for other in schema.get("required") or []:
            if other not in given:
                kind = (properties.get(other) or {}).get("type")
                given[other] = {"boolean": False, "number": 60, "integer": 60, "array": []}.get(kind, "a step")
        return name, given
    return None


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text") or "" for part in content or []]
    return "".join(parts)


# The chat wire

CHAT_FIELDS = {
    "model", "messages", "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"}


def read_chat(kind: str) -> Callable[[Any, Exchange], Turn]:
    """Reads as the provider of `kind` does: `gpt-4o`, `gpt-5` or `deepseek`."""
    def read(body: Any, exchange: Exchange) -> Turn:
        if not exchange.request.path.split("?")[0].endswith("/chat/completions"):
            raise Refusal(f"Invalid URL (POST {exchange.request.path})", 404)
        if kind != "deepseek":
            for name in body.keys() - CHAT_FIELDS:
                raise Refusal(f"Unrecognized request argument supplied: {name}")
        if kind == "gpt-4o" and "reasoning_effort" in body:
            raise Refusal("Unrecognized request argument supplied: reasoning_effort")
        if kind == "gpt-5" and "max_tokens" in body:
            raise Refusal("Unsupported parameter: 'max_tokens' is not supported with this model. "
                          "Use 'max_completion_tokens' instead.")
        if kind == "gpt-5" and body.get("temperature", 1) != 1:
            raise Refusal("Unsupported value: 'temperature' does not support this value with this model.")
        results = chat_results(body["messages"], kind)
        tools = [(one["function"]["name"], one["function"].get("parameters") or {}) for one in body.get("tools") or []]
        return Turn(results, shell_of(tools), body.get("stream") is True, thinks="may" if kind == "deepseek" else "never")

    return read


def chat_results(messages: list[dict], kind: str) -> list[str]:
    results: list[str] = []
    waiting: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                raise Refusal(f"messages with role 'tool' must be a response to a preceeding message with "
                              f"'tool_calls' (messages.[{index}])")
            if kind == "deepseek" and not isinstance(message["content"], str):
                raise Refusal(f"messages[{index}]: invalid type: sequence, expected a string")
            waiting.remove(message["tool_call_id"])
            results.append(text_of(message["content"]))
            continue
        if waiting:
            raise Refusal("An assistant message with 'tool_calls' must be followed by tool messages responding to "
                          f"each 'tool_call_id': {waiting}")
        if message["role"] == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls") or []]
            if kind == "deepseek" and waiting and not message.get("reasoning_content") and is_thinking(messages):
                raise Refusal(f"Missing `reasoning_content` field in the assistant message at message index {index}.")
            if kind != "deepseek" and "reasoning_content" in message:
                raise Refusal("Additional properties are not allowed ('reasoning_content' was unexpected) - "
                              f"'messages.{index}'")
    if waiting:
        raise Refusal(f"No tool output found for {waiting}")
    return results


def is_thinking(messages: list[dict]) -> bool:
    """Whether the model reasoned before: it then wants its reasoning back. The calls of the script say so."""
    return any("[thinks]" in text_of(message.get("content")) for message in messages if message["role"] == "user")


def write_chat(exchange: Exchange, turn: Turn, blocks: list[dict], model: Model) -> None:
    text = "".join(one["text"] for one in blocks if one["type"] == "text")
    thought = "".join(one["thinking"] for one in blocks if one["type"] == "thinking")
    calls = [{"index": i, "id": f"call_{one['id'][-4:]}", "type": "function",
              "function": {"name": one["name"], "arguments": json.dumps(one["input"])}}
             for i, one in enumerate(one for one in blocks if one["type"] == "tool_use")]
    reason = "tool_calls" if calls else "stop"
    if not turn.streams:
        body = chat_wire.chat_body(text)
        message = body["choices"][0]["message"]
        if thought:
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
        body["choices"][0]["finish_reason"] = reason
        reply(body)(exchange)
        return
    events: list[Any] = [chat_wire.role()]
    events += [chat_wire.chunk({"reasoning_content": thought})] if thought else []
    events += [chat_wire.text(text[:5])]
    if model.scenario.is_cut and not calls and turn.shell:
        sse(*events, chat_wire.CUT)(exchange)
    events += [chat_wire.text(text[5:])]
    for call in calls:
        line = call["function"]["arguments"]
        events.append(chat_wire.chunk({"tool_calls": [{**call, "function": {**call["function"], "arguments": ""}}]}))
        events += [chat_wire.chunk({"tool_calls": [{"index": call["index"], "function": {"arguments": half}}]})
                   for half in (line[:4], line[4:])]
    asked = (exchange.request.json.get("stream_options") or {}).get("include_usage")
    sse(*events, chat_wire.chunk({}, reason), *([chat_wire.usage_chunk()] if asked else []), "[DONE]")(exchange)


def refuse_chat(refusal: Refusal) -> Behaviour:
    return chat_wire.error(refusal.status, str(refusal), "invalid_request_error")


# The messages wire

MESSAGE_FIELDS = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "metadata", "stop_sequences", "stream",
    "temperature", "thinking", "top_k", "top_p", "service_tier", "container", "context_management", "mcp_servers",
    "output_config", "cache_control", "speed", "inference_geo", "output_format", "diagnostics"}
ID = re.compile(r"[a-zA-Z0-9_-]+")


def read_messages(body: Any, exchange: Exchange) -> Turn:
    path = exchange.request.path.split("?")[0]
    if not path.endswith("/v1/messages"):
        raise Refusal(f"Not Found: {path}", 404)
    for name in body.keys() - MESSAGE_FIELDS:
        raise Refusal(f"{name}: Extra inputs are not permitted")
    if "max_tokens" not in body:
        raise Refusal("max_tokens: Field required")
    thinking = body.get("thinking") or {}
    interleaved = "interleaved-thinking" in (exchange.request.header("anthropic-beta") or "")
    is_enabled = thinking.get("type") == "enabled"
    if is_enabled and not interleaved and thinking.get("budget_tokens", 0) >= body["max_tokens"]:
        raise Refusal("`max_tokens` must be greater than `thinking.budget_tokens`")
    for number, tool in enumerate(body.get("tools") or []):
        schema = tool.get("input_schema")
        if schema is not None and schema.get("type") != "object":
            raise Refusal(f"tools.{number}.custom.input_schema.type: Field required")
    results = message_results(body["messages"], is_enabled)
    tools = [(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or []]
    thinks = {"enabled": "always", "adaptive": "may"}.get(thinking.get("type"), "never")
    return Turn(results, shell_of(tools), body.get("stream") is True, thinks)


def message_results(messages: list[dict], needs_thought: bool) -> list[str]:
    results: list[str] = []
    waiting: list[str] = []
    for index, message in enumerate(messages):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "assistant":
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            begins = blocks[0]["type"] if blocks else ""
            is_last = not any(later["role"] == "assistant" for later in messages[index + 1:])
            if needs_thought and waiting and is_last and begins not in ("thinking", "redacted_thinking"):
                raise Refusal(f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                              f"`{begins}`")
            for number, block in enumerate(blocks):
                place = f"messages.{index}.content.{number}"
                if block["type"] == "tool_use" and not ID.fullmatch(block["id"]):
                    raise Refusal(f"{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
                if block["type"] == "thinking" and block.get("signature") != SIGNATURE:
                    raise Refusal(f"{place}: Invalid `signature` in `thinking` block")
                if block["type"] == "text" and not block["text"]:
                    raise Refusal(f"{place}: text content blocks must be non-empty")
            continue
        given = [block for block in blocks if block["type"] == "tool_result"]
        if message["role"] == "user" and {block["tool_use_id"] for block in given} != set(waiting):
            raise Refusal(f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately "
                          f"after: {waiting}")
        results += [text_of(block.get("content")) for block in given]
        if message["role"] == "user":
            waiting = []
    return results


def write_messages(exchange: Exchange, turn: Turn, blocks: list[dict], model: Model) -> None:
    has_calls = any(one["type"] == "tool_use" for one in blocks)
    reason = "tool_use" if has_calls else "end_turn"
    if not turn.streams:
        reply(claude.message(*blocks, stop_reason=reason))(exchange)
        return
    events = [event for number, one in enumerate(blocks) for event in claude.block(number, one)]
    if model.scenario.is_cut and not has_calls and turn.shell:
        sse(claude.start(), *events[:-2], chat_wire.CUT)(exchange)
    sse(claude.start(), *events, *claude.finish(reason))(exchange)


def refuse_messages(refusal: Refusal) -> Behaviour:
    kind = "not_found_error" if refusal.status == 404 else "invalid_request_error"
    return claude.refusal(refusal.status, kind, str(refusal))


# The responses wire

ITEM_KINDS = {"message", "function_call", "function_call_output", "reasoning", "local_shell_call",
              "local_shell_call_output", "custom_tool_call", "custom_tool_call_output", "additional_tools",
              "tool_search_call", "tool_search_output", "compaction", "web_search_call"}


def read_responses(body: Any, exchange: Exchange) -> Turn:
    if not exchange.request.path.split("?")[0].endswith("/responses"):
        raise Refusal(f"Invalid URL (POST {exchange.request.path})", 404)
    results, waiting = [], set()
    items = body["input"] if isinstance(body["input"], list) else []
    tools: list[tuple[str, dict]] = []
    for number, item in enumerate(items):
        kind = item.get("type", "message")
        if kind not in ITEM_KINDS:
            raise Refusal(f"Invalid value: '{kind}' (input[{number}].type)")
        if kind == "additional_tools":
            tools += functions_of(item.get("tools") or [])
        elif kind in ("function_call", "custom_tool_call"):
            waiting.add(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            if item["call_id"] not in waiting:
                raise Refusal(f"No tool call found for function call output with call_id {item['call_id']}.")
            waiting.discard(item["call_id"])
            results.append(text_of(item["output"]))
    for call in waiting:
        raise Refusal(f"No tool output found for function call {call}.")
    return Turn(results, shell_of([*tools, *functions_of(body.get("tools") or [])]), body.get("stream") is True)


def functions_of(tools: list[dict]) -> list[tuple[str, dict]]:
    found = []
    for tool in tools:
        if tool.get("type") == "function":
            found.append((tool["name"], tool.get("parameters") or {}))
        elif tool.get("type") == "namespace":
            found += functions_of(tool.get("tools") or [])
    return found


def write_responses(exchange: Exchange, turn: Turn, blocks: list[dict], model: Model) -> None:
    output: list[dict] = []
    for number, one in enumerate(blocks):
        if one["type"] == "text":
            part = {"type": "output_text", "text": one["text"], "annotations": []}
            output.append({"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                           "content": [part]})
        elif one["type"] == "tool_use":
            output.append({"type": "function_call", "id": f"fc_{one['id'][-4:]}", "call_id": f"call_{one['id'][-4:]}",
                           "name": one["name"], "arguments": json.dumps(one["input"]), "status": "completed"})
        elif one["type"] == "thinking":
            output.append({"type": "reasoning", "id": f"rs_{number}", "encrypted_content": SIGNATURE,
                           "summary": [{"type": "summary_text", "text": one["thinking"]}]})
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15}
    body = {"id": "resp_1", "object": "response", "created_at": 1700000000, "status": "completed",
            "model": "gpt-5.2-2025-12-11", "output": output, "usage": usage, "error": None,
            "incomplete_details": None, "parallel_tool_calls": True, "tools": [], "tool_choice": "auto"}
    if not turn.streams:
        reply(body)(exchange)
        return
    events: list[dict] = [{"type": "response.created", "response": {**body, "status": "in_progress", "output": []}}]
    has_calls = any(one["type"] == "function_call" for one in output)
    for index, item in enumerate(output):
        events.append({"type": "response.output_item.added", "output_index": index,
                       "item": {**item, "content": []} if item["type"] == "message" else item})
        if item["type"] == "message":
            text = item["content"][0]["text"]
            events += [{"type": "response.output_text.delta", "output_index": index, "item_id": item["id"],
                        "content_index": 0, "delta": half} for half in (text[:5], text[5:])]
            if model.scenario.is_cut and not has_calls:
                sse(*numbered(events[:-1]), chat_wire.CUT)(exchange)
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": body})
    sse(*numbered(events))(exchange)


def numbered(events: list[dict]) -> list[bytes]:
    return [claude.event({**event, "sequence_number": number}) for number, event in enumerate(events)]


# Google's wire

CONTENT_FIELDS = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig",
                  "cachedContent", "labels", "store", "serviceTier"}


def read_contents(body: Any, exchange: Exchange) -> Turn:
    path, _, query = exchange.request.path.partition("?")
    action = path.rsplit(":", 1)[-1]
    if action not in ("generateContent", "streamGenerateContent") or "/models/" not in path:
        raise Refusal(f"Not Found: {path}", 404)
    for name in body.keys() - CONTENT_FIELDS:
        raise Refusal(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    results: list[str] = []
    waiting: list[str] = []
    for index, content in enumerate(body["contents"]):
        if not content.get("parts"):
            raise Refusal(f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.")
        calls = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
        given = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        if sorted(one["name"] for one in given) != sorted(waiting):
            raise Refusal("Please ensure that the number of function response parts is equal to the number of function "
                          "call parts of the function call turn.")
        for part in content["parts"]:
            if part.get("thoughtSignature") not in (None, SIGNATURE, "skip_thought_signature_validator"):
                raise Refusal(f"Thought signature is not valid. (contents[{index}])")
        results += [json.dumps(one["response"]) for one in given]
        waiting = calls
    if waiting:
        raise Refusal(f"No function response for {waiting}")
    tools = [(one["name"], one.get("parametersJsonSchema") or one.get("parameters") or {})
             for tool in body.get("tools") or [] for one in tool.get("functionDeclarations") or []]
    thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    streams = action == "streamGenerateContent"
    if streams and "alt=sse" not in query:
        raise Refusal("this provider streams events only")
    return Turn(results, shell_of(tools), streams, "may" if thinking.get("includeThoughts") else "never")


def write_contents(exchange: Exchange, turn: Turn, blocks: list[dict], model: Model) -> None:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}

    def chunk(parts: list[dict], finish: Optional[str] = None) -> dict:
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        return {"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}], "usageMetadata": usage,
                "modelVersion": "gemini-2.5-pro", "responseId": "r-1"}

    parts: list[dict] = []
    for one in blocks:
        if one["type"] == "thinking":
            parts.append({"text": one["thinking"], "thought": True})
        elif one["type"] == "text":
            parts += [{"text": half} for half in (one["text"][:5], one["text"][5:])]
        else:
            signed = {"thoughtSignature": SIGNATURE} if not any("functionCall" in part for part in parts) else {}
            parts.append({"functionCall": {"name": one["name"], "args": one["input"]}, **signed})
    if not turn.streams:
        reply(chunk(parts, "STOP"))(exchange)
        return
    if model.scenario.is_cut and not any("functionCall" in part for part in parts) and turn.shell:
        sse(*[chunk([part]) for part in parts[:-1]], chat_wire.CUT)(exchange)
        return
    sse(*[chunk([part]) for part in parts[:-1]], chunk(parts[-1:], "STOP"))(exchange)


def refuse_contents(refusal: Refusal) -> Behaviour:
    status = "NOT_FOUND" if refusal.status == 404 else "INVALID_ARGUMENT"
    return reply({"error": {"code": refusal.status, "message": str(refusal), "status": status}}, refusal.status)


#: What stands behind a group: the model's name in the config, and how it reads, writes and refuses.
TARGETS: dict[str, tuple[str, Callable, Callable, Callable]] = {
    "gpt-4o": ("openai/gpt-4o", read_chat("gpt-4o"), write_chat, refuse_chat),
    "gpt-5": ("openai/gpt-5.2", read_chat("gpt-5"), write_chat, refuse_chat),
    "deepseek": ("deepseek/deepseek-chat", read_chat("deepseek"), write_chat, refuse_chat),
    "anthropic": ("anthropic/claude-sonnet-4-5", read_messages, write_messages, refuse_messages),
    "responses": ("openai/gpt-5.2", read_responses, write_responses, refuse_chat),
    "gemini": ("gemini/gemini-2.5-pro", read_contents, write_contents, refuse_contents),
}


def model(target: str, scenario: Scenario, last: Optional[str] = None) -> Model:
    """The model behind a target; `last` is the command by which it ends a session."""
    _, read, write, refuse = TARGETS[target]
    return Model(scenario, read, write, refuse, last)


def settings(target: str) -> dict[str, Any]:
    """The `litellm_settings` before that target: GPT-5 takes no temperature, which some programs send."""
    return {"drop_params": True} if target == "gpt-5" else {}


def entry(group: str, target: str, up: Upstream) -> dict[str, Any]:
    """An entry of the config that sends `group` to that target."""
    base = up.url if target in ("anthropic", "gemini") else up.url + "/v1"
    params = {"model": TARGETS[target][0], "api_key": "sk-upstream-secret", "api_base": base}
    return {"model_name": group, "litellm_params": params}
