#!/usr/bin/env python3
"""The figures of health checks, measured on a release build: bench/HEALTH.md, docs/health.md and its picture.

    bench/health.py [PART ...] [--target DIRECTORY] [--seconds 300] [--short]

Builds nothing: `cargo build --release --bin hale --bin hale-members --bin hale-load --bin hale-upstream`
comes first. Without a part all are run, which takes about half an hour. Parts:

    thousand  1,000 deployments, half of them silent, 100 requests/s on a healthy group
    memory    the same, with checks of 1 s, for ten minutes after every deployment has a verdict
    live      /health of the same, which probes every deployment; checks may take 5 s
    live60    the same where they may take 60 s, which is the default
    pairs     traffic with checks and without, five pairs (needs `wrk`)
    stop      members that stop without traffic: when that is seen
    blame     members that fail traffic: how many requests meet them
    steady    checks that are sent while traffic gets good answers
    lies      what is found of members that answer something else than they should
    outage    one of three members dies and comes back: docs/outage.svg

Results are kept by part in target/health.json, so that a page can be made of parts. Always true: every child
ends with the script; what does not measure what it says ends it with 2.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True

import health_report
import outage
import rig
import situations
import timeline
from gateways import Children, Hale

ROOT = os.path.dirname(rig.HERE)
PARTS = ("thousand", "memory", "live", "live60", "pairs", "stop", "blame", "steady", "lies", "outage")


def parser(text):
    it = argparse.ArgumentParser(description=text.splitlines()[0], epilog="Its head says more.")
    it.add_argument("parts", nargs="*", metavar="PART")
    it.add_argument("--target", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release"))
    it.add_argument("--results", default=os.path.join(ROOT, "target", "health.json"))
    it.add_argument("--seconds", type=float, default=300, help="the length of `thousand`")
    it.add_argument("--short", action="store_true", help="a first look: shorter, and no page is written")
    return it


def run(bench, part, options):
    """The result of one part."""
    short = options.short
    return {
        "thousand": lambda: situations.thousand(bench, 40 if short else options.seconds),
        "memory": lambda: situations.memory(bench, 60 if short else 600),
        "live": lambda: situations.live(bench),
        "live60": lambda: situations.live(bench, 60),
        "pairs": lambda: situations.pairs(bench, 1 if short else 5, 5 if short else 20, 3 if short else 10),
        "stop": lambda: situations.stop(bench, 10 if short else 20),
        "blame": lambda: situations.blame(bench),
        "steady": lambda: situations.steady(bench, 15 if short else 45),
        "lies": lambda: situations.lies(bench),
        "outage": lambda: outage.outage(bench),
    }[part]()


def read(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def keep(path, name, version, part, found):
    """Puts one result beside those that are kept."""
    kept = read(path)
    kept.setdefault(name, {}).update({"version": version, part: found})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(kept, file)


def measure(options, name, parts, start, version=None):
    """Runs parts on a gateway and keeps what they give, after each of them, unless that is only a first look."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda it, _: sys.exit(128 + it))
    children, directory = Children(), tempfile.mkdtemp(prefix="hale-health-")
    try:
        bench = situations.Bench(children, directory, options.target, start)
        for part in options.parts or parts:
            if part not in parts:
                raise rig.Failure(f"there is no part {part!r}; there are {', '.join(parts)}")
            print(f"{name}, {part}", flush=True)
            # What else the machine does as it begins.
            load = round(os.getloadavg()[0], 1)
            found = run(bench, part, options) | {"load": load}
            print(json.dumps(found.get("summary", found), indent=1), flush=True)
            if not options.short:
                keep(options.results, name, version, part, found)
    except rig.Failure as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        children.end_all()
        shutil.rmtree(directory, ignore_errors=True)
    return read(options.results)


def start_hale(target):
    binary = os.path.join(target, "hale")
    return lambda children, directory, config, seconds: Hale(children, directory, binary, config, seconds)


def main():
    options = parser(__doc__).parse_args()
    kept = measure(options, "hale", PARTS, start_hale(options.target))
    if options.short:
        return
    health_report.write(ROOT, kept)
    if "outage" in kept["hale"]:
        with open(os.path.join(ROOT, "docs", "outage.svg"), "w", encoding="utf-8") as file:
            file.write(timeline.draw(kept["hale"]["outage"]))


if __name__ == "__main__":
    main()
