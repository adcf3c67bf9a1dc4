"""The timeline of an outage as a picture, in SVG.

Called by `bench/health.py` with what `bench/outage.py` found. Always true: every mark is an event of that run.
"""

from html import escape

WIDTH, LEFT, RIGHT = 960, 120, 24
COLOURS = {"a": "#4477aa", "b": "#cc6677", "c": "#ddaa33"}
BANDS = [  # state, what the legend calls it, colour
    ("unchecked", "not checked yet", "#e4e4e4"),
    ("ready", "in service", "#cfe8cf"),
    ("cooldown", "in cooldown: traffic failed", "#ffd9a0"),
    ("trial", "on trial", "#fff2a8"),
    ("unhealthy", "unhealthy: checks failed", "#f4b6b6"),
]
STATES = {name: colour for name, _, colour in BANDS} | {"healthy": "#cfe8cf"}
LANE, LANES_TOP = 34, 116
SHARE_TOP, SHARE_HEIGHT = 256, 130
COST_TOP, COST_HEIGHT = 428, 90
HEIGHT = COST_TOP + COST_HEIGHT + 58


class Picture:
    def __init__(self, end):
        self.end, self.parts = end, []

    def x(self, at):
        return LEFT + max(0, min(at, self.end)) / self.end * (WIDTH - LEFT - RIGHT)

    def add(self, text):
        self.parts.append(text)

    def text(self, x, y, words, size=13, anchor="start", more=""):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {more}>{escape(words)}</text>')

    def line(self, x1, y1, x2, y2, colour="#999", width=1, dash=""):
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def box(self, x, y, width, height, colour):
        self.add(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def svg(self):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                f'height="{HEIGHT}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" fill="#222">')
        background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        return "\n".join([head, background, *self.parts, "</svg>", ""])


def draw(found):
    """The picture of one outage."""
    picture = Picture(found["end"])
    legend(picture)
    lanes(picture, found)
    shares(picture, found)
    cost(picture, found)
    events(picture, found)
    return picture.svg()


def legend(picture):
    x, y = LEFT, 16
    for _, words, colour in BANDS:
        picture.box(x, y, 16, 13, colour)
        picture.text(x + 21, y + 11, words, 12)
        x += 46 + 6.6 * len(words)
    y, x = 44, LEFT
    picture.add(f'<circle cx="{x + 8}" cy="{y}" r="4" fill="#222"/>')
    picture.text(x + 21, y + 4, "a check, answered", 12)
    cross(picture, x + 178, y)
    picture.text(x + 190, y + 4, "a check, failed", 12)


def cross(picture, x, y):
    for sign in (1, -1):
        picture.line(x - 4, y - 4 * sign, x + 4, y + 4 * sign, "#b00020", 2)


def lanes(picture, found):
    names = list(COLOURS)
    picture.text(LEFT, LANES_TOP - 8, "verdicts and checks", 13, more='font-weight="bold"')
    for row, name in enumerate(names):
        top = LANES_TOP + row * LANE
        picture.text(LEFT - 10, top + LANE / 2 + 2, f"member {name}", 13, "end", f'font-weight="bold" style="fill:{COLOURS[name]}"')
        spans = runs([(one["at"], one[name]) for one in found["states"]], found["end"])
        for begins, ends, state in spans:
            picture.box(picture.x(begins), top, picture.x(ends) - picture.x(begins), LANE - 6, STATES.get(state, "#ffffff"))
        for one in found["seen"]:
            if one["check"] and one["member"] == name:
                x, y = picture.x(one["at"]), top + (LANE - 6) / 2
                if one["mood"] == "works":
                    picture.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#222"/>')
                else:
                    cross(picture, x, y)


def runs(samples, end):
    """Spans of the same state."""
    spans = []
    for place, (at, state) in enumerate(samples):
        ends = samples[place + 1][0] if place + 1 < len(samples) else end
        if spans and spans[-1][2] == state:
            spans[-1] = (spans[-1][0], ends, state)
        else:
            spans.append((at, ends, state))
    return spans


def axis(picture, top, height, marks, words):
    """The frame of a panel with its marks on the left: height from 0 to 1 and text."""
    picture.text(LEFT, top - 8, words, 13, more='font-weight="bold"')
    for part, mark in marks:
        y = top + height * (1 - part)
        picture.line(LEFT, y, WIDTH - RIGHT, y, "#ddd")
        picture.text(LEFT - 8, y + 4, mark, 12, "end")
    picture.line(LEFT, top, LEFT, top + height, "#666")
    picture.line(LEFT, top + height, WIDTH - RIGHT, top + height, "#666")


def shares(picture, found):
    """The attempts of each second, by member, as parts of all."""
    axis(picture, SHARE_TOP, SHARE_HEIGHT, [(0, "0 %"), (0.5, "50 %"), (1, "100 %")],
         f"share of the attempts in each second ({found['rate']} requests/s)")
    begins = found["phases"]["traffic begins"]
    for second in range(begins, found["end"]):
        now = [one["member"] for one in found["seen"] if not one["check"] and second <= one["at"] < second + 1]
        y = SHARE_TOP + SHARE_HEIGHT
        for name, colour in COLOURS.items():
            height = SHARE_HEIGHT * now.count(name) / max(1, len(now))
            y -= height
            picture.box(picture.x(second), y, picture.x(second + 1) - picture.x(second) - 0.8, height, colour)
    x = LEFT + 14
    for row, (name, colour) in enumerate(reversed(COLOURS.items())):
        y = SHARE_TOP + 34 + row * 26
        picture.box(x, y, 16, 13, colour)
        picture.text(x + 22, y + 11, f"member {name}", 12)


def cost(picture, found):
    """What the checks cost together so far."""
    # Whole tens of millionths.
    most = max(1, -(-max((usd for _, usd in found["costs"]), default=0) // 1e-5)) * 1e-5
    axis(picture, COST_TOP, COST_HEIGHT, [(0, "0"), (0.5, f"{most * 5e5:.0f}"), (1, f"{most * 1e6:.0f}")],
         "cost of all checks so far, 10⁻⁶ USD (gpt-4o-mini)")
    points, last = [], 0.0
    for at, usd in found["costs"]:
        x = picture.x(at)
        points += [(x, last), (x, usd)]
        last = usd
    points.append((picture.x(found["end"]), last))
    path = " ".join(f"{x:.1f},{COST_TOP + COST_HEIGHT * (1 - usd / most):.1f}" for x, usd in points)
    picture.add(f'<polyline points="{path}" fill="none" stroke="#222" stroke-width="2"/>')
    bottom = COST_TOP + COST_HEIGHT
    for second in range(0, found["end"] + 1, 15):
        picture.line(picture.x(second), bottom, picture.x(second), bottom + 5, "#666")
        picture.text(picture.x(second), bottom + 20, str(second), 12, "middle")
    picture.text((LEFT + WIDTH - RIGHT) / 2, bottom + 42, "seconds since the start", 13, "middle")


def events(picture, found):
    for words, second in found["phases"].items():
        x = picture.x(second)
        for top, height in ((LANES_TOP, 3 * LANE - 6), (SHARE_TOP, SHARE_HEIGHT), (COST_TOP, COST_HEIGHT)):
            picture.line(x, top, x, top + height, "#444", 1, "4 3")
        picture.text(x, 84, words, 13, "middle", 'font-style="italic"')
