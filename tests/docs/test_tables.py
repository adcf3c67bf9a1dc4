"""The tables of the pages: metrics as the gateway shows them, variables as the code reads them, rules of alerts."""

from __future__ import annotations

import os
import re
import urllib.request

import pages
import pytest
import yaml
from pages import ROOT
from reader import Reader

METRICS = "docs/metrics.md"
KEY = "sk-0123456789abcdef"


@pytest.fixture(scope="module")
def exposed(tmp_path_factory) -> str:
    """The page of the metrics of a gateway with the config of the page about them."""
    reader = Reader(tmp_path_factory.mktemp("metrics"))
    block = next(it for section in pages.sections(METRICS) for it in section.blocks if it.name == "config.yaml")
    reader.write(block)
    reader.shell(block, f"export LITELLM_MASTER_KEY={KEY} OPENAI_API_KEY=sk-provider")
    reader.serve(block, "hale --config config.yaml")
    request = urllib.request.Request(
        f"http://127.0.0.1:{reader.gateway.port}/metrics",
        headers={"authorization": f"Bearer {KEY}", "accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        yield answer.read().decode()
    reader.close()


def families(text: str) -> list[tuple[str, str, list[str], str]]:
    """Name, type, labels and help of each family, in the order of the page."""
    found = []
    for part in re.split(r"(?m)^# HELP ", text)[1:]:
        name, help = part.split("\n", 1)[0].split(" ", 1)
        kind = re.search(r"# TYPE \S+ (\w+)", part)[1]
        labels: list[str] = []
        for sample in re.findall(r"^\w+\{(.*?)\} ", part, re.M):
            labels += [it for it in re.findall(r"(\w+)=\"", sample) if it not in labels and it != "le"]
        found.append((f"{name}_total" if kind == "counter" else name, kind, labels, help))
    return found


def test_the_page_of_metrics_has_each_family(exposed):
    rows = [f"| `{name}` | {kind} | {', '.join(f'`{it}`' for it in labels)} | {help} |"
            for name, kind, labels, help in families(exposed)]
    path = ROOT / METRICS
    head, _, _ = path.read_text().partition("|---|---|---|---|\n")
    wanted = head + "|---|---|---|---|\n" + "\n".join(rows) + "\n"
    if os.environ.get("HALE_BLESS") == "1":
        path.write_text(wanted)
    assert path.read_text() == wanted, "HALE_BLESS=1 .venv/bin/pytest tests/docs writes it"


def test_rules_of_alerts_name_metrics_and_labels_that_exist(exposed):
    block = next(it for section in pages.sections("docs/howto.md") for it in section.blocks if it.name == "alerts.yaml")
    known = {name: labels for name, _, labels, _ in families(exposed)}
    rules = [rule for group in yaml.safe_load(block.text)["groups"] for rule in group["rules"]]
    assert len(rules) >= 6
    for rule in rules:
        metric = re.search(r"hale_\w+", rule["expr"])[0]
        assert metric in known, f"{rule['alert']}: there is no {metric}"
        used = re.findall(r"(\w+)=", rule["expr"].replace("==", "")) + re.findall(r"by \((\w+)\)", rule["expr"])
        assert set(used) <= set(known[metric]), f"{rule['alert']}: {metric} has the labels {known[metric]}"


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
    assert {"LITELLM_MASTER_KEY", "PORT", "DEFAULT_HEALTH_CHECK_PROMPT", "AZURE_API_VERSION"} <= read
    missing = sorted(name for name in read - of_tests - of_terminals - of_hints if f"`{name}`" not in page)
    assert missing == [], "docs/environment.md lacks them"
