"""The published coding agents, and how each is run without a login.

Used by `test_programs.py`. Always true: a program gets an empty home, an address, a key and no way out of this machine.
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable, Optional

#: What a session ends with. No program shows it by itself.
FINAL = "All steps are done: 7413."
#: The name of the model group that every program asks for.
GROUP = "agent"


@dataclass
class Place:
    """Where a session happens."""

    home: pathlib.Path
    work: pathlib.Path
    #: The gateway, without a path.
    url: str
    key: str


@dataclass
class Program:
    """One program in one of its modes."""

    #: Its package, the version, and the registry that has it: `npm` or `pypi`.
    package: str
    version: str
    registry: str
    #: The client format that it speaks: `chat`, `messages`, `responses` or `contents`.
    speaks: str
    #: The command, and variables of its environment.
    start: Callable[[Place, str], tuple[list[str], dict[str, str]]]
    #: Whether the model can have it run commands.
    has_tools: bool = True
    #: Whether it runs all calls of an answer.
    runs_many: bool = True
    #: Whether it gives reasoning back, which DeepSeek demands.
    returns_reasoning: bool = True
    #: The command by which the model ends a session, where a text does not.
    last: Optional[str] = None
    #: What its package forgets to ask for.
    needs: tuple[str, ...] = ()


def claude_code(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["claude", "-p", prompt, "--model", GROUP, "--dangerously-skip-permissions"],
            {"ANTHROPIC_BASE_URL": place.url, "ANTHROPIC_AUTH_TOKEN": place.key, "IS_SANDBOX": "1",
             "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "ANTHROPIC_SMALL_FAST_MODEL": GROUP})


def codex(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    folder = place.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'model = "{GROUP}"\nmodel_provider = "hale"\n\n[model_providers.hale]\nname = "hale"\n'
        f'base_url = "{place.url}/v1"\nenv_key = "HALE_KEY"\nwire_api = "responses"\n')
    return (["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt],
            {"HALE_KEY": place.key})


def codex_built_in(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    folder = place.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(f'model = "{GROUP}"\nopenai_base_url = "{place.url}/v1"\n')
    (folder / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": place.key}))
    return (["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt], {})


def gemini_cli(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    folder = place.home / ".gemini"
    folder.mkdir()
    # With an address in its environment it takes no key unless the settings say so.
    (folder / "settings.json").write_text(json.dumps(
        {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False},
         "general": {"enableAutoUpdate": False}}))
    return (["gemini", "-p", prompt, "--yolo", "-m", GROUP],
            {"GOOGLE_GEMINI_BASE_URL": place.url, "GEMINI_API_KEY": place.key, "GEMINI_CLI_TRUST_WORKSPACE": "true"})


def qwen_chat(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["qwen", "-p", prompt, "--yolo", "--auth-type", "openai", "-m", GROUP],
            {"OPENAI_BASE_URL": place.url + "/v1", "OPENAI_API_KEY": place.key, "OPENAI_MODEL": GROUP})


def qwen_messages(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["qwen", "-p", prompt, "--yolo", "--auth-type", "anthropic", "-m", GROUP],
            {"ANTHROPIC_BASE_URL": place.url, "ANTHROPIC_API_KEY": place.key, "ANTHROPIC_MODEL": GROUP})


def opencode(package: str, path: str) -> Callable[[Place, str], tuple[list[str], dict[str, str]]]:
    def start(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
        options = {"baseURL": place.url + path, "apiKey": place.key}
        provider = {"npm": package, "name": "hale", "options": options, "models": {GROUP: {"name": GROUP}}}
        (place.work / "opencode.json").write_text(json.dumps(
            {"provider": {"hale": provider}, "autoupdate": False, "share": "disabled", "permission": "allow",
             "small_model": f"hale/{GROUP}"}))
        return ["opencode", "run", "-m", f"hale/{GROUP}", prompt], {}

    return start


def cline(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    login = ["cline", "auth", "-p", "openai", "-k", place.key, "-m", GROUP, "-b", place.url + "/v1"]
    session = ["cline", "--json", "--auto-approve", "true", prompt]
    return ["sh", "-c", f"{shlex.join(login)} && exec {shlex.join(session)}"], {}


def continue_cli(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    config = place.home / "config.yaml"
    config.write_text(json.dumps({
        "name": "hale", "version": "1.0.0", "schema": "v1",
        "models": [{"name": GROUP, "provider": "openai", "model": GROUP, "apiBase": place.url + "/v1",
                    "apiKey": place.key, "roles": ["chat"], "capabilities": ["tool_use"]}]}))
    return (["cn", "-p", prompt, "--config", str(config), "--auto"], {"CONTINUE_TELEMETRY_ENABLED": "0"})


def aider(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["aider", "--model", f"openai/{GROUP}", "--message", prompt, "--no-git", "--yes-always", "--no-check-update",
             "--no-show-model-warnings", "--analytics-disable", "--no-pretty", "--map-tokens", "0"],
            {"OPENAI_API_BASE": place.url + "/v1", "OPENAI_API_KEY": place.key})


def llm(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    folder = place.home / "llm"
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(json.dumps(
        [{"model_id": GROUP, "model_name": GROUP, "api_base": place.url + "/v1", "api_key_name": "hale",
          "supports_tools": True}]))
    tool = "import subprocess\ndef run_command(command: str) -> str:\n    \"\"\"Runs a command.\"\"\"\n" \
           "    return subprocess.run(command, shell=True, capture_output=True, text=True).stdout\n"
    return (["llm", "-m", GROUP, "--key", place.key, "--functions", tool, "--chain-limit", "0", prompt],
            {"LLM_USER_PATH": str(folder)})


def mini_swe_agent(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["mini", "-y", "--exit-immediately", "-m", f"openai/{GROUP}", "-t", prompt],
            {"OPENAI_API_BASE": place.url + "/v1", "OPENAI_API_KEY": place.key, "MSWEA_CONFIGURED": "true",
             "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_GLOBAL_CONFIG_DIR": str(place.home / "mini")})


def gptme(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["gptme", "-n", "-m", f"local/{GROUP}", "--tool-format", "tool", "-t", "shell", prompt],
            {"OPENAI_BASE_URL": place.url + "/v1", "OPENAI_API_KEY": place.key})


def shell_gpt(place: Place, prompt: str) -> tuple[list[str], dict[str, str]]:
    return (["sgpt", "--no-cache", "--no-functions", "--model", GROUP, prompt],
            {"API_BASE_URL": place.url + "/v1", "OPENAI_API_KEY": place.key, "USE_LITELLM": "false",
             "PRETTIFY_MARKDOWN": "false"})


#: Before which providers a client of each format runs.
BEFORE = {"chat": ("gpt-4o", "gpt-5", "deepseek", "anthropic"), "messages": ("gpt-4o", "gpt-5", "deepseek", "anthropic"),
          "responses": ("responses",), "contents": ("gpt-4o", "gpt-5", "deepseek", "anthropic", "gemini")}

PROGRAMS = {
    "Claude Code": Program("@anthropic-ai/claude-code", "2.1.197", "npm", "messages", claude_code),
    "Codex": Program("@openai/codex", "0.171.0", "npm", "responses", codex),
    "Codex, built-in provider": Program("@openai/codex", "0.171.0", "npm", "responses", codex_built_in),
    "gemini-cli": Program("@google/gemini-cli", "0.61.0", "npm", "contents", gemini_cli),
    "Qwen Code": Program("@qwen-code/qwen-code", "0.15.10", "npm", "chat", qwen_chat),
    "Qwen Code, messages": Program("@qwen-code/qwen-code", "0.15.10", "npm", "messages", qwen_messages),
    "opencode": Program("opencode-ai", "1.18.33", "npm", "chat", opencode("@ai-sdk/openai-compatible", "/v1")),
    "opencode, messages": Program("opencode-ai", "1.18.33", "npm", "messages", opencode("@ai-sdk/anthropic", "/v1")),
    "opencode, responses": Program("opencode-ai", "1.18.33", "npm", "responses", opencode("@ai-sdk/openai", "/v1")),
    "cline": Program("cline", "3.0.65", "npm", "chat", cline),
    "continue": Program("@continuedev/cli", "1.5.47", "npm", "chat", continue_cli, returns_reasoning=False),
    "aider": Program("aider-chat", "0.86.2", "pypi", "chat", aider, has_tools=False),
    "llm": Program("llm", "0.36", "pypi", "chat", llm, returns_reasoning=False),
    "mini-swe-agent": Program("mini-swe-agent", "2.4.6", "pypi", "chat", mini_swe_agent,
                              last=f"echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo '{FINAL}'"),
    "gptme": Program("gptme", "0.35.1", "pypi", "chat", gptme, runs_many=False, returns_reasoning=False),
    "shell-gpt": Program("shell-gpt", "1.5.1", "pypi", "chat", shell_gpt, has_tools=False, needs=("click",)),
}


def environment(place: Place, more: dict[str, str], path: str) -> dict[str, str]:
    """What a program finds around it: nothing of the machine but its programs."""
    return {"PATH": path, "HOME": str(place.home), "LANG": "C.UTF-8", "TERM": "dumb", "NO_COLOR": "1", "CI": "1",
            "TMPDIR": str(place.home), "XDG_CONFIG_HOME": str(place.home / ".config"), **more}


def search_path(installed: pathlib.Path) -> str:
    """Where the programs are, then those of the machine."""
    own = [installed / "node_modules" / ".bin", *sorted(installed.glob("python-*/bin"))]
    return os.pathsep.join([*map(str, own), os.environ["PATH"]])


def run(program: Program, place: Place, prompt: str, installed: pathlib.Path,
        patience: float) -> subprocess.CompletedProcess[str]:
    """Runs a session. What the program leaves running is ended with it."""
    place.home.mkdir()
    place.work.mkdir()
    command, more = program.start(place, prompt)
    path = search_path(installed)
    where = shutil.which(command[0], path=path)
    assert where, f"{command[0]} is not installed"
    try:
        return subprocess.run([where, *command[1:]], cwd=place.work, env=environment(place, more, path),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience, check=False)
    finally:
        for process in at_home(place.home):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass


def at_home(home: pathlib.Path) -> list[int]:
    """The processes that have this home: some programs start a server that outlives them."""
    mark, found = f"HOME={home}".encode(), []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    # What is to be installed from a registry: `python programs.py npm`.
    separator = {"npm": "@", "pypi": "=="}[sys.argv[1]]
    print("\n".join(sorted({" ".join([f"{one.package}{separator}{one.version}", *one.needs])
                            for one in PROGRAMS.values() if one.registry == sys.argv[1]})))
