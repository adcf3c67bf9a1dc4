"""The image that the Dockerfile describes, as a folder: what is in it, and how it is started.

Used by `test_image.py`. Always true: everything is read from `Dockerfile`; the folder is laid out by the script that it calls.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field

from pages import ROOT

MIB = 1 << 20


@dataclass
class Image:
    """The last stage of the Dockerfile."""

    base: str
    layout: str
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    folder: str = "/"
    ports: list[int] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    @property
    def config(self) -> str:
        """Where it looks for the config."""
        return self.command[self.command.index("--config") + 1]


def described() -> Image:
    """Reads the Dockerfile; what this reader does not know is an error."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    image: Image | None = None
    layout = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, value = line.partition(" ")
        if word == "FROM":
            image = Image(value.split()[0], layout)
        elif image is None:
            raise AssertionError(f"{line} stands before FROM")
        elif word == "RUN":
            layout = layout or (value if "scripts/rootfs" in value else "")
        elif word == "ENV":
            image.environment.update([value.split("=", 1)])
        elif word == "USER":
            image.user = value
        elif word == "WORKDIR":
            image.folder = value
        elif word == "EXPOSE":
            image.ports.append(int(value))
        elif word == "COPY":
            image.copies.append(value)
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(value)
        elif word == "CMD":
            image.command = json.loads(value)
        else:
            assert word == "STOPSIGNAL", line
    assert image is not None
    return image


def lay_out(binary: pathlib.Path, root: pathlib.Path) -> None:
    """What the build stage leaves for the image."""
    subprocess.run([ROOT / "scripts/rootfs", binary, root], check=True)


def size(root: pathlib.Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def why_no_chroot() -> str | None:
    """Why this machine cannot start a process in another root, or as another user; None if it can."""
    if shutil.which("chroot") is None:
        return "there is no chroot"
    probe = ["chroot", "--userspec=65532:65532", "/", "/bin/true"]
    done = subprocess.run(probe, capture_output=True, text=True)
    return None if done.returncode == 0 else f"{shlex.join(probe)}: {done.stderr.strip()}"


def start(image: Image, root: pathlib.Path, arguments: list[str] | None = None,
          environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts the image as `docker run` would, with arguments in place of its own."""
    command = image.entrypoint + (image.command if arguments is None else arguments)
    chroot = [shutil.which("chroot"), f"--userspec={image.user}"]
    return subprocess.Popen([*chroot, root, *command], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env={**image.environment, **(environment or {})})


def run(image: Image, root: pathlib.Path, arguments: list[str] | None = None,
        environment: dict[str, str] | None = None) -> tuple[int, str]:
    """The same to its end: its status, and what it printed."""
    process = start(image, root, arguments, environment)
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, output


@dataclass
class Run:
    """What a line with `docker run` asks for."""

    image: str
    arguments: list[str]
    ports: list[tuple[int, int]]
    volumes: list[tuple[str, str]]
    variables: list[str]


def docker_run(line: str) -> Run:
    """Reads such a line; an option that this reader does not know is an error."""
    words = shlex.split(line)[2:]
    found = Run("", [], [], [], [])
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("--rm", "-d", "--detach", "--read-only"):
            continue
        value = words.pop(0)
        if option == "-p":
            outside, inside = value.split(":")[-2:]
            found.ports.append((int(outside), int(inside)))
        elif option == "-v":
            source, target, *_ = value.split(":")
            found.volumes.append((source, target))
        elif option == "-e":
            found.variables.append(value.split("=")[0])
        else:
            assert option in ("--name", "--user"), f"{option} of {line}"
    found.image, *found.arguments = words
    return found
