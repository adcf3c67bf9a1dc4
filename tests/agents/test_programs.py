"""Whole sessions of published coding agents, as the programs that they are.

Run by `scripts/test --long`, which installs them to the folder that `HALE_AGENTS` names; without it every test here is
skipped. A session is right when the program ends with status 0 and shows the last answer, the provider has got the
result of every call, and has refused nothing. Where the stream is cut an error is right, too.
"""

from __future__ import annotations

import os
import pathlib

import pytest

import programs
import provider
from gateway import MASTER_KEY
from programs import BEFORE, FINAL, PROGRAMS, Place
from provider import SCENARIOS, entry
from upstream import Plan, error

INSTALLED = os.environ.get("HALE_AGENTS")
#: Longest session, seconds.
PATIENCE = 120.0
#: What a failing deployment answers.
STATUSES = (529, 500, 503)
PAIRS = [(name, target) for name, program in PROGRAMS.items() for target in BEFORE[program.speaks]]

pytestmark = pytest.mark.skipif(INSTALLED is None, reason="HALE_AGENTS names no folder with the programs")


@pytest.mark.parametrize("what", SCENARIOS, ids=[name.replace(" ", "-") for name in SCENARIOS])
@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_a_session_ends_as_it_should(hale, upstream, tmp_path, name, target, what):
    program = PROGRAMS[name]
    scenario = provider.scenario_of(program, SCENARIOS[what])
    if scenario.thinks and target == "deepseek" and not program.returns_reasoning:
        pytest.skip("the program does not send reasoning back")
    model = provider.model(target, scenario, program.last)
    up = upstream(Plan(then=model))
    deployments, router = [entry(programs.GROUP, target, up)], {}
    if scenario.first_fails:
        # Each pair meets one of the statuses.
        status = STATUSES[PAIRS.index((name, target)) % len(STATUSES)]
        first = upstream(Plan(then=error(status, "overloaded")))
        deployments = [entry(programs.GROUP, target, first), entry("spare", target, up)]
        router = {"fallbacks": [{programs.GROUP: ["spare"]}]}
    gateway = hale(*deployments, router=router, litellm=provider.settings(target))
    place = Place(tmp_path / "home", tmp_path / "work", gateway.url, MASTER_KEY)
    mark = "[thinks] " if scenario.thinks else ""
    ended = programs.run(program, place, mark + provider.TASK, pathlib.Path(INSTALLED), PATIENCE)
    said = ended.stdout + ended.stderr
    print(said[-4000:])
    assert model.refusals == []
    assert model.answered > 0
    if scenario.is_cut:
        assert FINAL not in ended.stdout or ended.returncode == 0
    else:
        assert ended.returncode == 0
        assert FINAL in ended.stdout.replace("\n", " ")
    assert model.expected() <= model.results
