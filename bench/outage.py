"""An outage from beginning to end, on real sockets: one of three members dies and comes back.

Called like the situations. Always true: what traffic and checks met is what the members themselves saw;
verdicts are what the gateway's own pages say.
"""

import threading
import time

from gateways import Asking, settings
from situations import end

NAMES = ("a", "b", "c")
DYING = "b"
RATE = 20
# Seconds: traffic begins, the member dies, it is repaired, the end.
PHASES = {"traffic begins": 15, "b dies": 35, "b is repaired": 70}
END = 105
INTERVAL = 5


def outage(bench, kind="cuts"):
    """What happened, as lists of moments in seconds since the begin, and a summary."""
    # Work that takes a moment, as that of a provider does.
    members = bench.members(log=True)
    for name in NAMES:
        members.set(name, "works")
    entries = [("g", name, members.base(name, i)) for i, name in enumerate(NAMES)]
    router = {"num_retries": 2, "cooldown_time": 5}
    gateway = bench.gateway(settings(entries, background=True, interval=INTERVAL, routing=True,
                                     router=router, timeout=3), probe_seconds=3)
    zero, states, costs, over = time.monotonic(), [], [], threading.Event()

    def watch():
        while not over.is_set():
            at = time.monotonic() - zero
            states.append({"at": at} | look(gateway))
            if hasattr(gateway, "metric"):
                costs.append([at, gateway.metric("hale_probe_cost_usd_total")])
            over.wait(0.25)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    until = lambda second: time.sleep(max(0, zero + second - time.monotonic()))
    begins, dies, repaired = PHASES.values()
    until(begins)
    asking = Asking(gateway, "g", RATE)
    until(dies)
    members.set(DYING, kind)
    until(repaired)
    members.set(DYING, "works")
    until(END)
    answers = asking.end()
    over.set()
    watcher.join()
    seen = [one | {"at": one["at"] - zero} for one in members.seen()]
    end(bench, gateway, members)
    told = [line for _, line in gateway.lines.lines if " deployment is " in line or "deployment=" in line] \
        if hasattr(gateway, "lines") else []
    found = {"kind": kind, "rate": RATE, "interval_s": INTERVAL, "phases": PHASES, "end": END, "log": told,
             "seen": seen, "states": states, "costs": costs,
             "answers": [one | {"at": one["at"] - zero} for one in answers]}
    return found | {"summary": summary(found)}


def look(gateway):
    """What the gateway says of each member now."""
    if not hasattr(gateway, "metric"):
        return gateway.verdicts()
    def name(line):
        known = line["check"]["status"]
        # A rest that traffic began goes on, and checks now keep it out as well.
        if known == "unhealthy" or (line["state"], known) == ("ready", "unchecked"):
            return known
        return line["state"]

    return {member: name(line) for member, line in gateway.state().items()}


def summary(found):
    """The figures of the outage."""
    _, dies, repaired = PHASES.values()
    attempts = [one for one in found["seen"] if not one["check"]]
    during = [one for one in attempts if dies <= one["at"] < repaired]
    checks = [one for one in found["seen"] if one["check"]]
    begins = PHASES["traffic begins"]
    well = lambda names: sum(one["member"] in names and begins + INTERVAL <= one["at"] for one in checks)
    out = next((one["at"] - dies for one in found["states"]
                if one["at"] > dies and one[DYING] not in ("ready", "healthy")), None)
    back = next((one["at"] - repaired for one in found["states"]
                 if one["at"] > repaired and one[DYING] in ("ready", "healthy")), None)
    share = lambda since, to: (sum(one["member"] == DYING for one in attempts if since <= one["at"] < to) /
                               max(1, sum(since <= one["at"] < to for one in attempts)))
    full = next((second - repaired for second in range(repaired, END - 3) if share(second, second + 3) > 0.2), None)
    return {
        "requests": len(found["answers"]),
        "errors": sum(one["status"] != 200 for one in found["answers"]),
        "attempts_at_dead": sum(one["member"] == DYING for one in during),
        "share_at_dead": share(dies, repaired), "out_s": out, "back_s": back, "full_share_s": full,
        "checks_of_well_under_traffic": well([name for name in NAMES if name != DYING]),
        "checks_of_dead": sum(one["member"] == DYING and dies <= one["at"] < repaired for one in checks),
        "checks": len(checks), "cost_usd": found["costs"][-1][1] if found["costs"] else None,
    }
