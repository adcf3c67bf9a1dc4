"""What must be true after a run of `bench/chaos`.

Used by `bench/chaos`. Always true: no assertion depends on how fast the machine is; each says in a comment why it
is exact. A violation is one line that begins with the id of its call, if it is about one.
"""

import collections
import dataclasses
import os

import chaos_plan
from chaos_clients import BROKEN, KINDS, LEFT, LOST, REFUSED, WHOLE
from chaos_gateway import GAUGES
from chaos_provider import FAULTS, HEALTHY

BEFORE, AFTER = "before", "after"
# What may be refused while every path is faulty. Anything else means that the gateway gave up for another reason.
REASONS = ("fallbacks_exhausted", "upstream_failed", "upstream_timeout", "upstream_rate_limited",
           "no_healthy_deployments", "model_paused")
# How the attempts end that a provider may not have read whole: no connection or a reset, no answer in time, the
# client gone. Every other cause is made of an answer, and our providers answer nothing before they have read all.
UNREAD = ("connect", "timeout", "client_closed", "client_timeout")
# The causes that each fault may be told as; `NOT_READING` is a provider that is stopped or refuses connections.
NOT_READING = "not reading"
CAUSES = {"500": {"server_error"}, "429": {"rate_limited"}, "429 with a hint": {"rate_limited"},
          "html": {"bad_response"}, "cut": {"connect", "stream_cut"}, "reset": {"connect", "stream_cut"},
          "silent": {"timeout", "stream_stall"}, NOT_READING: {"connect", "timeout", "stream_stall"},
          # Slower than usual, and faster than every time limit.
          "slow": set(), HEALTHY: set()}
# The outcome that a client saw, and what its record may say.
ENDINGS = {WHOLE: ("success",), BROKEN: ("broken",), REFUSED: ("error",),
           # The answer may have been complete, or have failed, when the client went away.
           LEFT: ("client_closed", "success", "broken", "error")}
# What may stay: arenas of the allocator, caches, tables. The bodies of the run are hundreds of MB.
RSS_GROWTH_KB = 48 << 10


@dataclasses.dataclass
class Run:
    """What was done and seen."""
    world: object
    clients: object
    before: dict = None
    after: dict = None
    began: float = 0.0
    # Since then gamma may fail, too.
    second_part: float = 0.0
    all_ended: bool = False
    is_reloaded: bool = False
    metrics: list = None
    exit_status: int | None = None

    def reads(self):
        """Requests that providers read whole: call, deployment, fault."""
        found = []
        for provider in self.world.providers.values():
            if not os.path.exists(provider.log):
                continue
            with open(provider.log, encoding="ascii") as file:
                for line in file:
                    call, key, fault = line.strip().split(" ", 2)
                    found.append((call, key.removeprefix("key-"), fault))
        return found

    def total(self, metric, **labels):
        return int(sum(value for name, own, value in self.metrics
                       if name == metric and labels.items() <= own.items()))


class Judge:
    def __init__(self, run):
        self.run, self.found = run, []
        self.calls = run.clients.calls
        self.records = run.world.gateway.records()
        self.by_call = {record["call_id"]: record for record in self.records}
        self.reads = run.reads()
        self.faults = collections.defaultdict(set)
        for call, deployment, fault in self.reads:
            self.faults[call, deployment].add(fault)
        self.not_reading = {name: provider.not_reading for name, provider in run.world.providers.items()}

    def expect(self, is_true, text):
        if not is_true:
            self.found.append(text)

    def may_fail(self, call, deployment, cause):
        """Whether a fault that this deployment had for this call explains the cause.

        It logged the fault; only while it could not read, it could log none.
        """
        met = set(self.faults[call.call, deployment])
        if overlaps(self.not_reading[chaos_plan.provider_of(deployment)], call.began, call.ended):
            met.add(NOT_READING)
        return any(cause in CAUSES[fault] for fault in met)

    def answers(self):
        self.expect(self.run.all_ended, "a client still waits for its answer")
        for call in self.calls:
            if call.outcome == LOST:
                self.expect(False, f"{call.call}: {call.group}: lost: {call.why}")
            elif call.outcome == BROKEN:
                # A stream that has content cannot be tried elsewhere, so a fault of its own deployment may break it.
                cause = self.by_call.get(call.call, {}).get("cause")
                self.expect(self.may_fail(call, call.deployment, cause),
                            f"{call.call}: broken by {cause}, which {call.deployment} did not do: {call.error}")
            elif call.outcome == REFUSED:
                self.refusal(call)
            elif call.outcome == LEFT:
                self.expect("leaves" in call.kind, f"{call.call}: a client that waits left")

    def refusal(self, call):
        text = f"{call.call}: {call.group}: {call.status} {call.error.get('reason')}: {call.error.get('message')}"
        resort = chaos_plan.LAST_RESORT[call.group]
        # Gamma is the last resort of every group, and until then always good and never disabled: there was a way.
        if call.call.startswith((BEFORE, AFTER)) or call.ended < self.run.second_part:
            self.expect(False, f"{text[:300]}: refused though {resort} is healthy")
            return
        self.expect(call.error.get("reason") in REASONS, f"{text[:300]}: unexpected reason")
        tried = set()
        for attempt in call.error.get("attempts", []):
            tried.add(attempt["deployment"])
            self.expect(self.may_fail(call, attempt["deployment"], attempt["cause"]),
                        f"{text[:300]}: {attempt['deployment']} did nothing that is {attempt['cause']}")
        if resort in tried:
            return
        # Else the last resort was excluded, and what the gateway says of it is true: an operator disabled it at
        # the time, or it is in cooldown after a fault of that cause.
        lines = {line["id"]: line for line in call.error.get("deployments", [])}
        was_disabled = overlaps(self.run.world.disabled[resort], call.began, call.ended)
        if resort not in lines:
            # After an attempt the error does not list excluded members of the same group: either is possible.
            is_reason = was_disabled or self.has_met(resort, CAUSES, call.ended)
        elif lines[resort]["state"] == "disabled":
            is_reason = was_disabled
        else:
            cause = lines[resort]["cause"]
            is_reason = self.has_met(resort, [one for one in CAUSES if cause in CAUSES[one]], call.ended)
        self.expect(is_reason, f"{text[:300]}: nothing keeps requests from {resort}: {lines.get(resort)}")

    def has_met(self, deployment, faults, until):
        """Whether this deployment has ever had one of these faults."""
        faults = set(faults) - {HEALTHY, "slow"}
        met = {fault for (_, name), found in self.faults.items() if name == deployment for fault in found}
        if overlaps(self.not_reading[chaos_plan.provider_of(deployment)], 0, until):
            met.add(NOT_READING)
        return not faults.isdisjoint(met)

    def records_and_counters(self):
        """Requests = answers = records."""
        count = collections.Counter(record["call_id"] for record in self.records)
        for call, times in count.items():
            self.expect(times == 1, f"{call}: {times} records")
        sent = {call.call for call in self.calls}
        read = {call for call, _, _ in self.reads}
        for call in self.calls:
            # A client may be gone before the gateway looks at what it sent: then there was no request, so no
            # provider has read it either.
            never_seen = call.kind == "leaves-early" and call.call not in read
            self.expect(call.call in count or never_seen, f"{call.call}: no record")
        for call in sorted(set(count) - sent):
            self.expect(False, f"{call}: a record of a request that no client sent")
        for call in self.calls:
            record = self.by_call.get(call.call)
            if not record or call.outcome == LOST:
                continue
            self.expect(record["ending"] in ENDINGS[call.outcome],
                        f"{call.call}: its client says {call.outcome}, its record {record['ending']}")
            if call.outcome != LEFT:
                self.expect(record["status"] == call.status,
                            f"{call.call}: its client says {call.status}, its record {record['status']}")
        # Read after the last request ended, with no gap: the same requests.
        for metric in ("hale_requests_total", "hale_responses_total"):
            total = self.run.total(metric)
            self.expect(total == len(self.records), f"{metric} is {total}, records are {len(self.records)}")
        self.expect(self.run.total("hale_records_dropped_total") == 0, "records were dropped")

    def attempts(self):
        """Attempts and what providers read: every request that was read belongs to an attempt or a resend."""
        resends = self.run.total("hale_resends_total")
        of_records = sum(record.get("resends", 0) for record in self.records)
        self.expect(resends == of_records, f"hale_resends_total is {resends}, records say {of_records}")
        read = collections.Counter(call for call, _, _ in self.reads)
        known = unknown = 0
        for call in self.calls:
            record = self.by_call.get(call.call)
            if not record:
                continue
            # An attempt is the first one of its group, or a retry; a resend sends one of them once more.
            most = 1 + record["retries"] + record["fallbacks"]
            if call.attempts is None:
                unknown += most
            else:
                known += call.attempts
                self.expect(call.attempts <= most, f"{call.call}: {call.attempts} attempts, its record says {most}")
                # The head of a stream lists the attempts before it; those of a rescue come after.
                if record.get("rescue"):
                    unknown += most - call.attempts
                else:
                    most = call.attempts
            most += record.get("resends", 0)
            self.expect(read[call.call] <= most,
                        f"{call.call}: providers read it {read[call.call]} times, at most {most} were sent")
        # A client that left early saw no list of attempts, and no list has those of a rescue: between none and
        # all that the record allows.
        total = self.run.total("hale_attempts_total")
        self.expect(known <= total <= known + unknown,
                    f"hale_attempts_total is {total}, answers say {known} and up to {unknown} more")
        for _, deployment, _ in chaos_plan.DEPLOYMENTS:
            self.attempts_of(deployment, resends)

    def attempts_of(self, deployment, resends):
        own = self.run.total("hale_attempts_total", deployment=deployment)
        unread = sum(self.run.total("hale_attempts_total", deployment=deployment, outcome=outcome)
                     for outcome in UNREAD)
        read = sum(1 for _, name, _ in self.reads if name == deployment)
        # Only resends can make a provider read more than there were attempts.
        self.expect(read <= own + resends, f"{deployment} read {read}, of {own} attempts and {resends} resends in all")
        # An attempt that was not read ended before that, and says so.
        self.expect(own - unread <= read, f"{deployment} read {read}, but {own - unread} of {own} attempts ended as "
                    "only a request that was read can")

    def remains(self):
        """Nothing is kept, and the process is sound."""
        run = self.run
        for gauge in GAUGES:
            self.expect(run.after[gauge] == 0, f"{gauge} stays at {run.after[gauge]:g}")
        # Threads are not compared: up to eight of those that write records and look at files stay while used.
        self.expect(run.after["descriptors"] <= run.before["descriptors"],
                    f"{run.before['descriptors']} descriptors before, {run.after['descriptors']} after")
        grown = run.after["rss_kb"] - run.before["rss_kb"]
        self.expect(grown <= RSS_GROWTH_KB, f"RSS has grown by {grown} KB")
        self.expect(run.total("hale_panics_total") == 0, "the gateway's own code panicked")
        self.expect(run.exit_status == 0, f"the gateway ended with {run.exit_status}")
        self.expect(run.is_reloaded, "the last config is not in force")
        reloads = run.world.done.get("reload", 0)
        self.expect(not reloads or run.total("hale_config_reloads_total") > 0, "no config was reloaded")
        for _, line in run.world.gateway.log.lines:
            self.expect("panicked" not in line, f"log: {line[:300]}")


def overlaps(periods, begins, ends):
    """Whether a period, which may still last, has a moment in common with this time."""
    return any(period[0] <= ends and (period[1] is None or period[1] >= begins) for period in periods)


def violations(run):
    judge = Judge(run)
    judge.answers()
    judge.records_and_counters()
    judge.attempts()
    judge.remains()
    return judge.found


def summary(run, found):
    """What happened, as a table."""
    outcomes = (WHOLE, BROKEN, REFUSED, LEFT, LOST)
    lines = [f"{'clients':14}" + "".join(f"{outcome:>9}" for outcome in outcomes)]
    for kind in KINDS:
        own = [call.outcome for call in run.clients.calls if call.kind == kind]
        lines.append(f"{kind:14}" + "".join(f"{own.count(outcome):>9}" for outcome in outcomes))
    reads = run.reads()
    faults = collections.Counter(fault for _, _, fault in reads)
    faults["refuse"] = faults["stop"] = 0
    lines += ["", "faults met:    " + ", ".join(f"{fault} {faults[fault]}" for fault in FAULTS if faults[fault]),
              "steps:         " + ", ".join(f"{what} {count}" for what, count in sorted(run.world.done.items())),
              "gateway:       "
              f"{run.total('hale_requests_total')} requests, {run.total('hale_attempts_total')} attempts, "
              f"{len(reads)} read by providers, {run.total('hale_resends_total')} resends, "
              f"{run.total('hale_config_reloads_total')} reloads and "
              f"{run.total('hale_config_reloads_refused_total')} refused",
              "before, after: " + ", ".join(f"{name} {run.before[name]:g}, {run.after[name]:g}"
                                            for name in ("rss_kb", "descriptors", "threads")),
              f"violations:    {len(found)}"]
    return "\n".join(lines)
