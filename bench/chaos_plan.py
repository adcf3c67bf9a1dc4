"""What happens in a run of `bench/chaos`, and when: made from its seed alone.

Used by `bench/chaos`. Always true: the same seed and length give the same plan; `gamma` has no fault in the
first part, and the operator never disables its deployments there.
"""

import dataclasses
import random

from chaos_provider import FAULTS, HEALTHY

PROVIDERS = {"alpha": "openai", "beta": "anthropic", "gamma": "openai"}
STOP = "stop"
# Of the time: one provider is always good, then all may fail.
FIRST_PART = 0.6
# How long the gateway waits for alpha and beta. Those of gamma stand in `GAMMA_TIMEOUT_S`.
TIMEOUT_S = 2.5
# No healthy answer of gamma takes so long on any machine.
GAMMA_TIMEOUT_S = 12

# Group, deployment, model. A deployment has a provider, and a key of its own that tells it there.
DEPLOYMENTS = (
    ("mixed", "alpha-mixed", "openai/gpt-4o-mini"),
    ("mixed", "beta-mixed", "anthropic/claude-haiku-4-5"),
    ("pair", "alpha-pair", "openai/gpt-4o-mini"),
    ("pair", "gamma-pair", "openai/gpt-4o-mini"),
    ("claude", "beta-claude", "anthropic/claude-haiku-4-5"),
    ("vectors", "alpha-vectors", "openai/text-embedding-3-small"),
    ("steady", "gamma-steady", "openai/gpt-4o-mini"),
    ("steady-vectors", "gamma-vectors", "openai/text-embedding-3-small"),
)
CHAT_GROUPS = ("mixed", "pair", "claude", "steady")
VECTOR_GROUPS = ("vectors", "steady-vectors")
FALLBACKS = '[{"mixed": ["steady"]}, {"claude": ["steady"]}, {"vectors": ["steady-vectors"]}]'
# The deployment of gamma that each group reaches at last.
LAST_RESORT = {"mixed": "gamma-steady", "pair": "gamma-pair", "claude": "gamma-steady",
               "steady": "gamma-steady", "vectors": "gamma-vectors", "steady-vectors": "gamma-vectors"}
STRATEGIES = ("simple-shuffle", "least-busy", "latency-based-routing", "health-aware")


def provider_of(deployment):
    return deployment.split("-")[0]


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that happens to `subject`, so many seconds after the start."""
    at: float
    what: str  # fault, stop, continue, reload, bad reload, rotate, disable, enable, reset
    subject: str
    detail: str = ""

    def __str__(self):
        return f"{self.at:7.2f} s  {self.what} {self.subject} {self.detail}".rstrip()


def plan(seed, seconds):
    """All steps, in order of time."""
    dice = random.Random(f"plan {seed}")
    steps = []
    for provider in PROVIDERS:
        begins = seconds * FIRST_PART if provider == "gamma" else 0.0
        steps += faults(dice, provider, begins, seconds)
    steps += reloads(dice, seconds)
    steps += operator(dice, seconds)
    return sorted(steps, key=lambda step: step.at)


def faults(dice, provider, begins, seconds):
    """Periods with a fault each, with healthy ones between them."""
    at, steps = begins + dice.uniform(0.2, 1.5), []
    while at < seconds - 1:
        ends = at + dice.uniform(0.8, 5)
        fault = dice.choice((*FAULTS, STOP))
        if fault == STOP:
            # Shorter and longer than the gateway's patience with alpha and beta.
            steps += [Step(at, STOP, provider), Step(ends, "continue", provider)]
        else:
            share = dice.choice((1.0, 1.0, 0.5, 0.2))
            steps += [Step(at, "fault", provider, f"{fault} {share}"),
                      Step(ends, "fault", provider, f"{HEALTHY} 1.0")]
        at = ends + dice.choice((0.1, 0.5, dice.uniform(1, 3)))
    return steps


def reloads(dice, seconds):
    at, number, steps = dice.uniform(1, 3), 0, []
    while at < seconds:
        what = dice.choice(("reload", "reload", "reload", "reload", "bad reload", "rotate"))
        number += 1
        steps.append(Step(at, what, str(number)))
        at += dice.uniform(1.5, 3.5)
    return steps


def operator(dice, seconds):
    at, steps = dice.uniform(1, 4), []
    while at < seconds - 1:
        everything = [name for _, name, _ in DEPLOYMENTS]
        faulty = [name for name in everything if provider_of(name) != "gamma"]
        name = dice.choice(everything if at > seconds * FIRST_PART else faulty)
        if dice.random() < 0.5:
            steps.append(Step(at, "reset", name))
        else:
            steps += [Step(at, "disable", name), Step(at + dice.uniform(0.5, 5), "enable", name)]
        at += dice.uniform(1, 4)
    return steps


def config(generation, seed, ports, key, log):
    """A config; each generation differs in what a reload may change without losing a deployment's state.

    The address, the key and the model of a deployment stay, so its counters go on: what they say is compared
    with what the providers saw.
    """
    dice = random.Random(f"config {seed} {generation}")
    lines = ["model_list:"]
    for group, name, model in DEPLOYMENTS:
        provider = provider_of(name)
        base = f"http://127.0.0.1:{ports[provider]}" + ("" if PROVIDERS[provider] == "anthropic" else "/v1")
        timeout = GAMMA_TIMEOUT_S if provider == "gamma" else TIMEOUT_S + dice.choice((0, 0, 0.5))
        mode = "embedding" if "vectors" in group else "chat"
        lines.append(
            f"- {{model_name: {group}, model_info: {{id: {name}, mode: {mode}}}, litellm_params: "
            f"{{model: {model}, api_key: key-{name}, api_base: \"{base}\", timeout: {timeout}, "
            f"stream_timeout: {timeout}, weight: {dice.choice((1, 1, 3))}}}}}")
    lines += [
        f"router_settings: {{num_retries: {dice.choice((1, 2, 3))}, fallbacks: {FALLBACKS},",
        f"  routing_strategy: {dice.choice(STRATEGIES)}, cooldown_time: {dice.choice((0, 0, 0.5, 1, 5))},",
        f"  model_group_alias: {{generation-{generation}: steady}}, request_timeout: 170}}",
        f"general_settings: {{master_key: {key}, request_log: \"{log}\", drain_delay_s: 0}}"]
    return "\n".join(lines) + "\n"
