"""A reader who types what a page says, in a directory of their own.

Used by `test_pages.py`. Always true: a page's gateway listens on a port that it chose, its providers are scripted, and
nothing leaves this machine; both ports are told apart from those of the page only here.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import claude
import printed
import trustme
import upstream as openai_wire
from gateway import PATIENCE, binary
from pages import ROOT, Block, commands, replace_block
from upstream import Exchange, Plan, Upstream

HERE = pathlib.Path(__file__).resolve().parent
#: The addresses at which the gateway of a page is reached.
GATEWAY = re.compile(r"\b(localhost|127\.0\.0\.1|0\.0\.0\.0):400\d\b")
#: Providers whose address stands in a config of a page.
PROVIDERS = re.compile(r"https?://(localhost:(?:11434|8000|9000)|[\w-]+\.openai\.azure\.com|[\w.-]+\.example\.com)")
#: Commands that only look: what they look at may come a moment later.
LOOKS = re.compile(r"(?:cat|tail|ls|grep) ")
#: A command that serves, and runs until something stops it.
SERVES = re.compile(r"(?:[A-Z_0-9]+=\S* )*(?:\S*/)?hale (?:serve\b|--config\b|-c\b|--model\b|-m\b)")
#: Commands that are checked as text: they need a daemon, a registry or a compiler.
AS_TEXT = re.compile(r"(?:docker|cargo|scripts/\w+|pip|kubectl)\b")
GREETING = "Hello! How can I help?"


class Stuck(AssertionError):
    """A page says what does not happen."""


def provider() -> Upstream:
    """A provider of both wires. It refuses keys with `wrong` in them."""
    def behave(exchange: Exchange) -> None:
        request = exchange.request
        keys = (request.header("authorization") or "") + (request.header("x-api-key") or "") + (
            request.header("api-key") or "")
        path = request.path.split("?")[0]
        if "wrong" in keys:
            answer = openai_wire.bad_key()
        elif "/v1/messages" in path:
            answer = claude.answer({"type": "text", "text": GREETING})
        else:
            answer = openai_wire.answer(*re.findall(r"\S+\s*", GREETING))
        answer(exchange)

    return Upstream(Plan(then=behave))


def address_variables() -> list[str]:
    """The variables that name the address of a provider."""
    names = {"OPENAI_BASE_URL"}
    for file in ("native", "openai_compatible"):
        rows = json.loads((ROOT / f"crates/core/data/{file}.json").read_text())
        names |= {name for row in rows.values() if isinstance(row, dict) for name in row.get("api_base_env", ())}
    # Its address is a host of one's own, which a page writes.
    return sorted(names - {"AZURE_API_BASE"})


class Reader:
    """Writes the files of a page, runs its commands, and compares what they print."""

    def __init__(self, home: pathlib.Path):
        self.home = home
        self.upstream = provider()
        self.gateway: Gateway | None = None
        self.printed = ""
        #: The block that printed it, if it may be typed again.
        self.looks: Block | None = None
        #: A command that failed, until the page shows what it prints.
        self.failed = ""
        #: Lines of the gateway's log when the last block of commands began.
        self.mark = 0
        #: Addresses of providers as the page writes them, in the order of their appearance.
        self.providers: list[str] = []
        (home / ".env.sh").write_text("")
        (home / "target/release").mkdir(parents=True)
        (home / "target/release/hale").symlink_to(HERE / "shims/hale")

    def close(self) -> None:
        if self.gateway is not None:
            self.gateway.stop()
        self.upstream.close()

    # What the page writes

    def here(self, text: str) -> str:
        """The text of a page with the addresses of this run."""
        def provider(found: re.Match[str]) -> str:
            self.providers.append(found[0])
            return self.upstream.url

        if self.gateway is not None:
            text = GATEWAY.sub(rf"127.0.0.1:{self.gateway.port}", text)
        return PROVIDERS.sub(provider, text)

    def there(self, text: str) -> str:
        """What was printed, with the addresses of the page."""
        if self.gateway is not None:
            text = text.replace(f":{self.gateway.port}", f":{self.gateway.shown_port}")
        if self.providers:
            text = text.replace(self.upstream.url, self.providers[-1])
        return text.replace(f"{self.home}/", "")

    def write(self, block: Block) -> pathlib.Path:
        """Writes the file that a block is."""
        path = self.home / block.name.replace("~", "home")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(block.content))
        if block.language == "nginx" and (nginx := shutil.which("nginx")):
            self.check_nginx(block, nginx)
        return path

    def check_nginx(self, block: Block, nginx: str) -> None:
        """Lets nginx read such a file, with a certificate of this run."""
        certificate = trustme.CA().issue_cert("localhost")
        certificate.private_key_pem.write_to_path(str(self.home / "hale.key"))
        certificate.cert_chain_pems[0].write_to_path(str(self.home / "hale.pem"))
        text = self.here(block.content).replace("/etc/ssl/", f"{self.home}/")
        whole = self.home / "whole.conf"
        whole.write_text(f"pid {self.home}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n")
        done = subprocess.run([nginx, "-t", "-c", whole], text=True, capture_output=True)
        if done.returncode != 0:
            raise Stuck(f"{block}: {done.stderr}")

    # What the reader runs

    def environment(self) -> dict[str, str]:
        path = [str(HERE / "shims"), str(pathlib.Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        found = {
            "PATH": ":".join(path), "HOME": str(self.home), "HALE_DOCS_BINARY": str(binary()),
            "HALE_DOCS_UPSTREAM": f"{self.upstream.url}/v1", "HALE_DOCS_ADDRESSES": " ".join(address_variables()),
        }
        if self.gateway is not None:
            found["HALE_DOCS_URL"] = f"http://127.0.0.1:{self.gateway.port}"
            found["HALE_DOCS_PID"] = str(self.gateway.pid)
        return found

    def catch_up(self, earlier: list[Block], now: list[Block]) -> None:
        """Does what a reader of this section has done by now: files, variables, and the gateway that runs."""
        serving: tuple[Block, str] | None = None
        for block in earlier:
            if block.name:
                self.write(block)
                continue
            for command in commands(block.text) if block.language == "sh" else []:
                if command.startswith("export "):
                    self.shell(block, command)
                elif SERVES.match(command):
                    serving = (block, command)
        starts = any(SERVES.match(command) for block in now if block.language == "sh" for command in commands(block.text))
        if serving and not starts:
            self.serve(*serving)

    def run(self, block: Block) -> None:
        """Runs the commands of a block."""
        self.leave()
        self.printed = ""
        self.looks = block if all(map(LOOKS.match, commands(block.text))) else None
        self.mark = self.gateway.lines() if self.gateway is not None else 0
        for command in commands(block.text):
            # What cargo would build is built.
            command = command.replace("cargo run --release -- ", "hale ")
            if AS_TEXT.match(command):
                self.check_as_text(block, command)
            elif SERVES.match(command):
                self.serve(block, command)
            else:
                self.printed += self.shell(block, command)

    def check_as_text(self, block: Block, command: str) -> None:
        """What such a command names exists. Lines of docker have their own test."""
        program, *words = command.split()
        if program.startswith("scripts/"):
            assert os.access(ROOT / program, os.X_OK), f"{block}: there is no {program}"
        elif program == "pip":
            tested = (ROOT / "tests/sdk/requirements.txt").read_text()
            assert all(f"\n{name}==" in tested for name in words[1:]), f"{block}: {command}: not what is tested"
        elif program == "kubectl":
            files = re.findall(r"(?:-f |--from-file=)(\S+)", command)
            assert all((self.home / name).is_file() for name in files), f"{block}: {command}"

    def shell(self, block: Block, command: str) -> str:
        script = f"source .env.sh\n{self.here(command)}\nstatus=$?\nexport -p | grep -v HALE_DOCS_ >.env.sh\nexit $status"
        done = subprocess.run(["bash", "-c", script], cwd=self.home, env=self.environment(), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        if done.returncode == 127:
            raise Stuck(f"{block}: {command}\n{done.stdout}")
        if done.returncode != 0:
            self.failed = f"{block}: {command}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def leave(self) -> None:
        """What fails on a page is shown by the page."""
        if self.failed:
            raise Stuck(self.failed)

    def serve(self, block: Block, command: str) -> None:
        """Starts a gateway in place of the one that runs."""
        if self.gateway is not None:
            self.gateway.stop()
        self.gateway = None
        # A provider's address belongs to the gateway, and a gateway that is told to listen elsewhere is reached there.
        asked = re.search(r" --port (\d+)", command)
        command = self.here(command.replace(asked[0], "") if asked else command)
        self.gateway = Gateway(f"source .env.sh\nexec env {command}", self.home, self.environment())
        self.gateway.shown_port = asked[1] if asked else "4000"
        self.printed += self.gateway.output()
        self.mark = 0
        if self.gateway.port == 0:
            raise Stuck(f"{block}: the gateway does not listen\n{self.gateway.output()}")

    def python(self, block: Block) -> None:
        """Runs a program, with the variables that the page exported."""
        self.leave()
        self.printed = ""
        self.looks = None
        self.mark = self.gateway.lines() if self.gateway is not None else 0
        (self.home / "program.py").write_text(self.here(block.text))
        self.printed = self.shell(block, f"{sys.executable} program.py")
        self.leave()

    # What the page shows

    def compare(self, block: Block) -> None:
        """Compares what a page shows with what was printed; with HALE_BLESS=1 the page is written anew."""
        if block.language == "text log":
            self.await_log(block)
            return
        self.failed = ""
        same = printed.json_is_same if block.language == "json" else printed.is_same
        deadline = time.monotonic() + PATIENCE / 4
        while not same(block.text, found := self.there(self.printed)):
            if self.looks is None or time.monotonic() > deadline:
                self.differs(block, found)
                return
            self.run(self.looks)

    def await_log(self, block: Block) -> None:
        """The same with the log, which is written beside the answers."""
        assert self.gateway is not None, f"{block}: there is no gateway, so there is no log"
        deadline = time.monotonic() + PATIENCE / 4
        while True:
            found = self.there("".join(self.gateway.output().splitlines(keepends=True)[self.mark:]))
            if printed.is_same(block.text, found):
                return
            if time.monotonic() > deadline:
                self.differs(block, found)
                return
            self.gateway.wait_for_more()

    def differs(self, block: Block, found: str) -> None:
        if os.environ.get("HALE_BLESS") == "1" and block.language != "json" and not printed.leaves_out(block.text):
            replace_block(block, printed.plain(found))
            return
        raise Stuck(f"{block} shows\n{block.text}\nbut this was printed:\n{found}")


class Gateway:
    """A gateway that a page started."""

    def __init__(self, script: str, home: pathlib.Path, environment: dict[str, str]):
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self.port = 0
        #: Its port on the page.
        self.shown_port = "4000"
        self._process = subprocess.Popen(["bash", "-c", script], cwd=home, env=environment, text=True,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()
        with self._more:
            self._more.wait_for(lambda: self.port or self._ended, timeout=PATIENCE)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._more:
                self._lines.append(line)
                if found := re.search(r"https?://[\d.]+:(\d+)", line):
                    self.port = self.port or (int(found[1]) if "listening on" in line else 0)
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def output(self) -> str:
        with self._more:
            return "".join(self._lines)

    def lines(self) -> int:
        with self._more:
            return len(self._lines)

    def wait_for_more(self) -> None:
        with self._more:
            self._more.wait(timeout=0.2)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
