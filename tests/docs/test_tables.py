"""The tables of the pages: variables as the code reads them."""

from __future__ import annotations

import re

from pages import ROOT

def test_each_variable_that_the_code_reads_has_its_row():
    """A variable of a provider is in the provider's row of data, and named on the page by example."""
    page = (ROOT / "docs/environment.md").read_text()
    of_tests = {"HALE_BLESS", "HALE_FAIL_ON_PURPOSE"}
    of_terminals = {"TERM", "COLUMNS"}
    # Named in a line to copy, and read only where a config writes it.
    of_hints = {"AWS_BEARER_TOKEN_BEDROCK"}
    read: set[str] = set()
    for path in [*ROOT.glob("crates/gateway/src/**/*.rs"), *ROOT.glob("crates/core/src/config/*.rs")]:
        text = path.read_text().split("#[cfg(test)]")[0]
        read |= set(re.findall(r"(?:\benv = |var(?:_os)?\(|variable: |env\.get\(|read\(|const \w+: &str = )\"([A-Z][A-Z_]+)\"", text))
        for listed in re.findall(r"(?:variables: |\benv\()&\[(.*?)\]", text, re.S):
            read |= set(re.findall(r"\"([A-Z][A-Z_]+)\"", listed))
        read |= set(re.findall(r"Service::\w+ => \"([A-Z][A-Z_]+)\"", text))
    assert {"LITELLM_MASTER_KEY", "PORT", "DEFAULT_HEALTH_CHECK_PROMPT", "AZURE_API_VERSION"} <= read
    missing = sorted(name for name in read - of_tests - of_terminals - of_hints if f"`{name}`" not in page)
    assert missing == [], "docs/environment.md lacks them"
