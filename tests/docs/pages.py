"""The pages that a reader types from: their code blocks, and what each kind of block is.

Read by the tests here. Always true: each fenced block of a page in `PAGES` is a file, a list of commands, a Python program,
or what the block before it prints; a block that is none of these is an error.

    ```yaml            a file; its first line is `# NAME`, as in ```nginx, ```toml, ```json of a program's settings
    ```sh              commands, run one by one with bash
    ```python          a program
    ```text            what the commands before it print; ```json, if that is one JSON value
    ```text log        the log of the gateway, from the commands before it on

In what is printed, `...` alone in a line stands for any lines, and at the end of a line for its remainder. In JSON the
text `...` stands for any value, and a member `"..."` for further members.
"""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/start.md", "docs/howto.md", "docs/migrate-from-litellm.md", "docs/metrics.md",
         "docs/environment.md"]
#: Languages of files.
FILES = ("yaml", "nginx", "toml", "json", "dockerfile")
NAME = re.compile(r"(?:#|//) ([\w./~-]+)$")


@dataclass
class Block:
    """One fenced block."""

    page: str
    #: The line of its fence, from 1.
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str | None:
        """The name of the file that it is."""
        first = self.text.split("\n", 1)[0]
        found = NAME.match(first) if self.language in FILES else None
        return found[1] if found else None

    @property
    def content(self) -> str:
        """The text of the file: a comment of JSON is no part of it."""
        return self.text.split("\n", 1)[1] if self.language == "json" else self.text


@dataclass
class Section:
    """What stands below one heading of level 2; what stands above the first one is a section too."""

    page: str
    title: str
    blocks: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page}: {self.title}"


def sections(page: str) -> list[Section]:
    """The sections of a page, with and without blocks."""
    found = [Section(page, "(top)")]
    block: Block | None = None
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if block is not None:
            if line == "```":
                found[-1].blocks.append(block)
                block = None
            else:
                block.text += line + "\n"
        elif line.startswith("```"):
            block = Block(page, number, line[3:], "")
        elif line.startswith("## "):
            found.append(Section(page, line[3:]))
    assert block is None, f"{block} does not end"
    return found


def present() -> list[str]:
    """The pages that exist."""
    return [page for page in PAGES if (ROOT / page).is_file()]


def commands(text: str) -> list[str]:
    """The commands of a block of shell: lines that belong together are one."""
    import subprocess
    found: list[str] = []
    begun = ""
    for line in text.splitlines():
        begun += line + "\n"
        complete = subprocess.run(["bash", "-n"], input=begun, text=True, capture_output=True)
        if line.endswith("\\") or complete.returncode != 0 or "warning: here-document" in complete.stderr:
            continue
        if not line.startswith("#") and begun.strip():
            found.append(begun.strip())
        begun = ""
    assert not begun.strip(), f"not a whole command: {begun}"
    return found


def replace_block(block: Block, text: str) -> None:
    """Writes other text into a block of its page, wherever that block is by now."""
    path = ROOT / block.page
    fence = f"```{block.language}\n"
    page = path.read_text()
    found = [at.start() for at in re.finditer(re.escape(f"{fence}{block.text}```\n"), page)]
    at = min(found, key=lambda at: abs(page.count("\n", 0, at) + 1 - block.line)) + len(fence)
    path.write_text(f"{page[:at]}{text}\n{page[at + len(block.text):]}")
