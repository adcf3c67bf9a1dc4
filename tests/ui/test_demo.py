"""The demo on a terminal: one picture drawn in place, with a dashboard that a browser opens while it runs."""

import os
import pty
import re
import subprocess

from gateway import binary


def test_the_demo_on_a_terminal_is_drawn_in_place_and_serves_its_dashboard(dashboard):
    master, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([binary(), "demo", "--seconds", "16", "--port", "0"], stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    text = ""

    def read_until(pattern):
        nonlocal text
        while not (found := re.search(pattern, text)):
            try:
                piece = os.read(master, 65536)
            except OSError:
                piece = b""
            assert piece, f"nothing about {pattern} in:\n{text}"
            text += piece.decode()
        return found

    try:
        url = read_until(r"Look at it in a browser: (http://127\.0\.0\.1:\d+)/ui/")[1]
        board = dashboard(type("Demo", (), {"url": url}))
        # It is over while the page is open, which says so: on a slow machine that may be early.
        board.expected += ["Failed to load resource", "net::ERR"]
        board.open()
        board.sees("steady", "main")
        assert board.page.locator("#verdict").inner_text() != ""
        assert board.page.get_by_role("button", name="Disable").count() == 0
        read_until(r"docs/start\.md")
        board.sees("The gateway does not answer.", "#connection")
    finally:
        process.kill()
        process.wait()
        os.close(master)
    # After the first picture each one begins where the one before did.
    pictures = re.split(r"\x1b\[\d+A\r", text)
    assert len(pictures) >= 16, text
    plain = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", picture) for picture in pictures]
    assert "flaky now answers 500" in text and "-> flaky is " in text and "<- flaky is back" in text
    assert re.search(r"flaky +(ejected|unhealthy): ", "".join(plain))
    for line in "".join(plain[1:-1]).splitlines():
        assert len(line) < 100, line
    assert " 0 lost." in plain[-1] and "What to do next" in plain[-1]
