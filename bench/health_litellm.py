#!/usr/bin/env python3
"""The situations of bench/health.py on LiteLLM from PyPI, beside ours in bench/HEALTH.md and docs/health.md.

    bench/health_litellm.py [PART ...] [--venv DIRECTORY] [--seconds 120] [--short]

Makes a virtual environment with `litellm[proxy]` in it unless there is one. Parts are those of
bench/health.py but `pairs` and `memory`. Always true: what LiteLLM gets is the config, the members and the load that this
gateway gets, and one worker process, which is its default.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True

import health
import health_report
import rig
from gateways import LiteLlm

VERSION = "1.106.2"
PARTS = tuple(part for part in health.PARTS if part not in ("pairs", "memory"))


def environment(directory):
    """The Python of a virtual environment that has LiteLLM."""
    python = os.path.join(directory, "bin", "python")
    if not os.path.exists(os.path.join(directory, "bin", "litellm")):
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        f"litellm[proxy]=={VERSION}"], check=True)
    return python


def main():
    parser = health.parser(__doc__)
    parser.add_argument("--venv", default=os.path.join(health.ROOT, "target", "litellm"))
    parser.set_defaults(seconds=120)
    options = parser.parse_args()
    python = environment(os.path.abspath(options.venv))
    start = lambda children, directory, config, seconds: LiteLlm(children, directory, python, config, seconds)
    kept = health.measure(options, "litellm", PARTS, start, VERSION)
    if not options.short:
        health_report.write(health.ROOT, kept)


if __name__ == "__main__":
    main()
