"""The image: what the Dockerfile describes runs in a chroot, and the pages' lines of docker fit it and compose.yaml."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import urllib.request

import image as images
import pages
import pytest
import trustme
import yaml
from gateway import binary
from image import MIB
from pages import ROOT
from reader import provider

IMAGE = images.described()
KEY = "sk-0123456789abcdef"
STATIC = "x86_64-unknown-linux-musl"
CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_key: sk-provider, api_base: "{url}"}}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  drain_delay_s: 0
"""


def static_binary() -> pathlib.Path | None:
    """The static binary, if it was built."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = target / STATIC / "release/hale"
    return found if found.is_file() else None


@pytest.fixture(scope="module", params=["this build", "static build"])
def built(request):
    """The binary under test, with the libraries that it names, and the static one."""
    if request.param == "this build":
        return binary()
    static = static_binary()
    if static is None:
        pytest.skip("there is no static build: scripts/release --static makes one, and scripts/test --long calls it")
    return static


@pytest.fixture
def root(built, tmp_path):
    """The root file system of the image."""
    if reason := images.why_no_chroot():
        pytest.skip(f"nothing can be run in a chroot here: {reason}")
    # Its user is another one, who must be able to reach it.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    root = tmp_path / "root"
    images.lay_out(built, root)
    return root


def configure(root: pathlib.Path, text: str) -> None:
    (root / IMAGE.config.lstrip("/")).write_text(text)


def test_the_image_is_the_binary_and_at_most_5_mb(built, tmp_path):
    images.lay_out(built, tmp_path / "root")
    assert images.size(tmp_path / "root") - built.stat().st_size <= 5 * MIB
    files = [path.relative_to(tmp_path / "root") for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert [path for path in files if path.name != "hale" and ".so" not in path.name] == []
    assert (IMAGE.base, IMAGE.copies) == ("scratch", ["--from=build /rootfs/ /"])
    assert "scripts/rootfs" in IMAGE.layout


def test_the_image_serves_as_its_own_user_and_stops_in_order(root):
    upstream = provider()
    configure(root, CONFIG.format(url=f"{upstream.url}/v1"))
    gateway = images.start(IMAGE, root, environment={"LITELLM_MASTER_KEY": KEY, "PORT": "0"})
    try:
        said = ""
        while not (listening := re.search(r"listening on http://0\.0\.0\.0:(\d+)", said)):
            line = gateway.stdout.readline()
            assert line, said
            said += line
        ids = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
        assert re.search(r"Uid:\t65532\t65532\t65532\t65532\n", ids) and IMAGE.user == "65532:65532"
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{listening[1]}/v1/chat/completions", body,
            {"content-type": "application/json", "authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["choices"][0]["message"]["content"].startswith("Hello")
        gateway.terminate()
        assert gateway.wait(20) == 0
    finally:
        gateway.kill()
        upstream.close()


def test_the_image_without_a_key_refuses_to_start_instead_of_serving_a_port_that_looks_dead(root):
    configure(root, CONFIG.format(url="http://127.0.0.1:9").replace("  master_key: os.environ/LITELLM_MASTER_KEY\n", ""))
    status, said = images.run(IMAGE, root)
    assert status == 78 and "master_key" in said, said


def test_the_image_trusts_public_authorities_without_a_file_of_them(root):
    """The handshake gets as far as the certificate, which no public authority has signed."""
    import ssl
    import threading

    certificate = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    import socket
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
                context.wrap_socket(peer, server_side=True).close()
            except OSError:
                if listener.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    configure(root, CONFIG.format(url=f"https://127.0.0.1:{listener.getsockname()[1]}/v1"))
    status, said = images.run(IMAGE, root, ["doctor", IMAGE.config], {"LITELLM_MASTER_KEY": KEY})
    listener.close()
    assert status == 1 and "not signed by a trusted CA" in said, said


def test_the_image_resolves_names_with_the_files_that_a_container_gets(root):
    """The library loads nothing more for it."""
    upstream = provider()
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/hosts").write_text("127.0.0.1 provider.test\n")
    configure(root, CONFIG.format(url=f"http://provider.test:{upstream.port}/v1"))
    status, said = images.run(IMAGE, root, ["doctor", IMAGE.config], {"LITELLM_MASTER_KEY": KEY})
    upstream.close()
    assert status == 0 and "1 of 1 works" in said, said


# The lines of the pages

def lines() -> list[tuple[pages.Block, str]]:
    found = []
    for page in pages.present():
        for section in pages.sections(page):
            for block in section.blocks:
                if block.language == "sh":
                    found += [(block, command) for command in pages.commands(block.text)]
    return found


DOCKER = [(block, line) for block, line in lines() if line.startswith("docker ")]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SUBCOMMANDS = {"up", "down", "logs", "kill", "restart", "ps"}


@pytest.mark.parametrize(("block", "line"), DOCKER, ids=[f"{block} {line[:24]}" for block, line in DOCKER])
def test_a_line_of_docker_fits_the_image_and_the_service(block, line, root, tmp_path):
    words = shlex.split(line)
    if words[1] == "build":
        assert words == ["docker", "build", "-t", COMPOSE["services"]["hale"]["image"], "."]
    elif words[1] == "compose":
        names = [word for word in words[2:] if not word.startswith("-") and word not in SUBCOMMANDS | {"HUP", "SIGHUP"}]
        assert words[2] in SUBCOMMANDS and set(names) <= COMPOSE["services"].keys(), line
    else:
        assert words[1] == "run", line
        asked = images.docker_run(line)
        assert asked.image == COMPOSE["services"]["hale"]["image"]
        assert {inside for _, inside in asked.ports} <= set(IMAGE.ports)
        read = asked.arguments[-1] if asked.arguments and asked.arguments[-1].startswith("/") else IMAGE.config
        assert [target for _, target in asked.volumes] == [read], line
        # What the line does without the network: its config is one that this binary takes.
        source = pathlib.Path(asked.volumes[0][0]).name
        written = next(it for section in pages.sections(block.page) for it in section.blocks if it.name == source)
        configure(root, written.content)
        variables = {name: KEY for name in asked.variables}
        status, said = images.run(IMAGE, root, ["check", IMAGE.config], variables)
        assert status == 0, said


def test_the_service_is_the_image_with_what_the_first_page_needs():
    service = COMPOSE["services"]["hale"]
    assert service["ports"] == [f"4000:{IMAGE.ports[0]}"]
    assert service["volumes"] == [f"./config.yaml:{IMAGE.config}:ro"]
    config = next(it for section in pages.sections("docs/start.md") for it in section.blocks if it.name == "config.yaml")
    assert set(re.findall(r"os\.environ/(\w+)", config.text)) == set(service["environment"])
    # What is in flight at the end gets the time that the gateway gives it.
    assert int(service["stop_grace_period"].rstrip("s")) >= 5 + 30
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
