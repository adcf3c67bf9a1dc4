"""Metrics, alerts and dashboards: promtool accepts them, and they name families and labels that exist."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import urllib.request

import pages
import pytest
import yaml
from pages import ROOT
from reader import Reader

METRICS = "docs/metrics.md"
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
KEY = "sk-0123456789abcdef"
#: Where `scripts/test` puts it if the system has none.
PROMTOOL = shutil.which("promtool") or ROOT / ".promtool/usr/bin/promtool"
#: What a scrape adds.
OF_SCRAPES = {"job", "instance"}
#: Words of the query language that stand where a label could.
NAME = re.compile(r"\b(?:hale|litellm|process)_[a-z0-9_]+|\bup\b")


def families() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each family, by the name of its samples, from the table of the page."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| \S* ?\| (.*?) ?\| ", (ROOT / METRICS).read_text(), re.M)
    found = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(found) > 90 and found["hale_requests_total"] == ("counter", {"model_group", "ending"})
    return found


FAMILIES = families()


def labels_of(name: str) -> set[str]:
    """The labels of the family whose samples have that name."""
    if name == "up":
        return OF_SCRAPES
    histogram = re.sub(r"_(bucket|sum|count)$", "", name)
    if histogram != name:
        kind, labels = FAMILIES.get(histogram, ("", set()))
        assert kind == "histogram", f"there is no histogram {histogram}"
        return labels | OF_SCRAPES | {"le"}
    assert name in FAMILIES, f"there is no {name}"
    assert FAMILIES[name][0] != "histogram", f"{name} has no samples of its own"
    return FAMILIES[name][1] | OF_SCRAPES


def check(expression: str, legend: str = "") -> None:
    """Every name is that of a family, and every label one of its."""
    names = NAME.findall(re.sub(r"\{[^}]*\}", "", expression))
    assert names, expression
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
        if NAME.fullmatch(name):
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert used <= labels_of(name), f"{name} has no {used - labels_of(name)}: {expression}"
    everywhere = set().union(*(labels_of(name) for name in names))
    for group in re.findall(r"\b(?:by|without) \(([^)]*)\)", expression):
        used = {label.strip() for label in group.split(",")}
        assert used <= everywhere, f"no {used - everywhere} in {expression}"
    used = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert used <= everywhere, f"no {used - everywhere} in {legend}"


def promtool(*arguments: str, stdin: str = "", cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess:
    assert pathlib.Path(PROMTOOL).exists(), "scripts/test installs promtool"
    return subprocess.run([PROMTOOL, *arguments], input=stdin, text=True, capture_output=True, cwd=cwd, timeout=60)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory) -> str:
    """The page of a gateway with the config of the page about metrics, after a good and a bad request."""
    reader = Reader(tmp_path_factory.mktemp("metrics"))
    block = next(it for section in pages.sections(METRICS) for it in section.blocks if it.name == "config.yaml")
    reader.write(block)
    reader.shell(block, f"export LITELLM_MASTER_KEY={KEY} OPENAI_API_KEY=sk-provider")
    reader.serve(block, "hale --config config.yaml")

    def request(path: str, body: dict | None = None) -> str:
        data = json.dumps(body).encode() if body else None
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        asked = urllib.request.Request(f"http://127.0.0.1:{reader.gateway.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    messages = [{"role": "user", "content": "hi"}]
    request("/v1/chat/completions", {"model": "gpt-4o", "messages": messages})
    request("/v1/chat/completions", {"model": "gpt-4o", "messages": messages, "stream": True})
    request("/v1/chat/completions", {"model": "nosuch", "messages": messages})
    yield request("/metrics")
    reader.close()


def test_promtool_accepts_the_page(exposed):
    checked = promtool("check", "metrics", stdin=exposed)
    complaints = [line for line in (checked.stdout + checked.stderr).splitlines() if line.strip()]
    # What the reference calls its own names is not Hale's to correct.
    own = [line for line in complaints if not (line.startswith("litellm_") and "unit" in line)]
    assert own == []


def test_samples_have_the_labels_of_the_table(exposed):
    seen = set()
    for line in exposed.splitlines():
        if line.startswith("#"):
            continue
        name, _, tail = line.partition("{")
        name = name.split(" ")[0]
        labels = set(re.findall(r"(\w+)=\"", tail.rsplit("}", 1)[0]))
        assert labels == labels_of(name) - OF_SCRAPES or labels == labels_of(name) - OF_SCRAPES - {"le"}, line
        seen.add(name)
    assert {"litellm_proxy_total_requests_metric_total", "litellm_request_total_latency_metric_bucket", "hale_requests_total"} <= seen
    told = set(re.findall(r"^# HELP (\w+) ", exposed, re.M))
    assert told == set(FAMILIES)


def test_rules_of_alerts_are_valid_and_do_what_they_say():
    for arguments in (["check", "rules", ALERTS.name], ["test", "rules", "alerts_test.yaml"]):
        ran = promtool(*arguments, cwd=ALERTS.parent)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_of_alerts_name_families_and_labels_that_exist():
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 20
    for rule in rules:
        check(rule["expr"], rule["annotations"]["summary"].replace("$labels.", ""))
        for name in NAME.findall(rule["annotations"]["description"]):
            assert name in FAMILIES or any(it.startswith(name) for it in FAMILIES), f"{rule['alert']}: there is no {name}"


def test_the_rules_of_the_page_name_families_and_labels_that_exist():
    block = next(it for section in pages.sections("docs/howto.md") for it in section.blocks if it.name == "alerts.yaml")
    rules = [rule for group in yaml.safe_load(block.text)["groups"] for rule in group["rules"]]
    assert len(rules) >= 6
    for rule in rules:
        check(rule["expr"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_name_families_and_labels_that_exist(path, tmp_path):
    board = json.loads(path.read_text())
    targets = [(panel["title"], target) for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(targets) >= 20 and board["uid"].startswith("hale-")
    rules = []
    for title, target in targets:
        # Grafana fills these in.
        expression = re.sub(r"\[\$__\w+\]", "[5m]", target["expr"])
        check(expression, target["legendFormat"])
        rules.append({"record": f"panel:{len(rules)}", "expr": expression})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": path.stem, "rules": rules}]}))
    checked = promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for variable in board["templating"]["list"]:
        for name, selector, label in re.findall(r"label_values\((\w+)(\{[^}]*\})?, (\w+)\)", str(variable.get("definition", ""))):
            assert label in labels_of(name), f"{name} has no {label}"
    places = [tuple(panel["gridPos"][it] for it in "xywh") for panel in board["panels"]]
    assert len(set(places)) == len(places), "panels lie on each other"
