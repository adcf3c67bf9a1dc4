"""Types every code block of the pages that people start with, and compares what is printed with what they show."""

from __future__ import annotations

import json
import shutil

import pages
import pytest
from pages import Section
from reader import Reader, Stuck

SECTIONS = [section for page in pages.present() for section in pages.sections(page) if section.blocks]
#: Programs without which a block of shell cannot be typed.
NEEDED = [name for name in ("bash", "curl", "openssl") if shutil.which(name) is None]


@pytest.fixture
def reader(tmp_path):
    if NEEDED:
        pytest.skip(f"the pages use {', '.join(NEEDED)}, which this machine lacks")
    it = Reader(tmp_path)
    yield it
    it.close()


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_what_a_page_says_happens(section: Section, reader: Reader):
    earlier = []
    for it in pages.sections(section.page):
        if it.title == section.title:
            break
        earlier += it.blocks
    reader.catch_up(earlier, section.blocks)
    for block in section.blocks:
        if block.name:
            reader.write(block)
        elif block.language == "sh":
            reader.run(block)
        elif block.language == "python":
            reader.python(block)
        elif block.language in ("text", "json", "text log"):
            reader.compare(block)
        else:
            raise Stuck(f"{block} is neither a file nor commands nor their output: {block.language!r}")
    reader.leave()


def test_no_block_shows_less_than_it_seems():
    """A block that is all `...`, or an output without a command before it, would hold of anything."""
    for section in SECTIONS:
        runs = False
        for block in section.blocks:
            runs = runs or block.language in ("sh", "python")
            if block.name or block.language in ("sh", "python"):
                continue
            assert runs, f"{block}: nothing before it prints"
            assert block.text.replace(".", "").strip(), f"{block} shows nothing"
            if block.language == "json":
                json.loads(block.text)
