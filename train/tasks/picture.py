"""Draws the share of right answers over length, as an SVG, from `coil bench tasks --json`.

    coil bench tasks presets/tasks/*.safetensors --steps 1048576 --json > tasks.json
    cd train && python -m tasks.picture ../tasks.json ../presets/tasks/tasks.svg
"""

import argparse
import html
import json
import math
import pathlib

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 340, 56, 190, 40, 48
COLOURS = ["#1764ab", "#d1495b", "#2f7d4f", "#8a5a00", "#6b4c9a"]
LABEL_GAP = 18


class Axes:
    def __init__(self, lengths):
        self.low, self.high = math.log2(min(lengths)), math.log2(max(lengths))

    def x(self, length):
        return LEFT + (math.log2(length) - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, share):
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def text(x, y, words, anchor="middle", colour="#333"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{html.escape(words)}</text>'


def grid(axes):
    for percent in range(0, 101, 25):
        y = axes.y(percent / 100)
        yield f'<path d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield text(LEFT - 8, y + 4, f"{percent} %", "end")
    for power in range(math.ceil(axes.low), math.floor(axes.high) + 1, 2):
        yield text(axes.x(2**power), HEIGHT - BOTTOM + 20, f"{2**power:,}")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "length in tokens")
    yield text(LEFT, 20, "Right answers", "start")


def curves(axes, models):
    ends = sorted(range(len(models)), key=lambda i: -models[i]["lengths"][-1]["right"])
    label_y = {}
    for i in ends:
        lowest = max(label_y.values(), default=0) + LABEL_GAP
        label_y[i] = max(axes.y(models[i]["lengths"][-1]["right"]) + 4, lowest)
    for i, model in enumerate(models):
        colour, rows = COLOURS[i % len(COLOURS)], model["lengths"]
        points = [(axes.x(row["until"]), axes.y(row["right"])) for row in rows]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 - i % 3}" fill="#fff" stroke="{colour}" stroke-width="2"/>'
        name = pathlib.PurePath(model["model"]).stem.replace("_", ", ")
        yield text(points[-1][0] + 14, label_y[i], name, "start", colour)


def picture(models):
    axes = Axes([row["until"] for model in models for row in model["lengths"]])
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            'font-size="13">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            *grid(axes),
            *curves(axes, models),
            "</svg>\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("svg", type=pathlib.Path)
    options = parser.parse_args()
    options.svg.write_text(picture(json.loads(options.report.read_text())))


if __name__ == "__main__":
    main()
