#!/usr/bin/env python3
"""Draws what `muster bench all_gather --json` measured, as an SVG.

Time against bytes a rank, both logarithmic: a panel for each kind of gather, a line for each
contender. Needs nothing but Python.

Example:
  muster bench all_gather --against mpi,memcpy --json > rows.jsonl
  bench/plot.py rows.jsonl > benchmarks.svg
"""
import argparse
import collections
import html
import json
import math
import sys

WIDTH, HEIGHT = 460, 320  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 58, 100, 40, 44  # around its plot
COLUMNS = 2
COLOURS = ["#0b6e99", "#d9730d", "#6940a5", "#448361", "#c14c8a", "#9f6b53"]
LIMIT_COLOUR = "#9b9a97"  # of memcpy, which is no rival

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #37352f; }
  .title { font-weight: 600; font-size: 13px; }
  .tick { fill: #787774; font-size: 11px; }
  .grid { stroke: #ebebea; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
"""


def kind(row):
    """The panel that a row belongs to."""
    unequal = any(isinstance(extent, list) for extent in row["shape"])
    rows = math.prod(row["shape"][:row["dim"]])
    where = "dimension 0" if row["dim"] == 0 else "inner dimension, " + (
        f"{rows} rows" if rows <= 8 else "many rows")
    return f"{where}, {'unequal' if unequal else 'equal'}, {row['ranks']} ranks"


def contender(row):
    return f"{row['impl']} {row['placement']}" if row["impl"] == "muster" else row["impl"]


def panels(rows):
    """kind -> contender -> [(bytes, microseconds)], all in the order of the rows."""
    result = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        if row["bytes_per_rank"] > 0:
            result[kind(row)][contender(row)].append((row["bytes_per_rank"], row["time_us_median"]))
    return result


def in_bytes(value):
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:g} {unit}"
        value /= 1024
    return f"{value:g} GiB"


def in_time(microseconds):
    for unit in ("µs", "ms"):
        if microseconds < 1000:
            return f"{microseconds:g} {unit}"
        microseconds /= 1000
    return f"{microseconds:g} s"


class Axis:
    """A logarithmic scale from values to pixels, with its ticks at powers of `base`."""

    def __init__(self, values, base, begin, end):
        low = math.floor(math.log(min(values), base) + 1e-9)
        high = max(math.ceil(math.log(max(values), base) - 1e-9), low + 1)
        self.ticks = [base ** power for power in range(low, high + 1)]
        self.low, self.span = math.log(self.ticks[0]), math.log(self.ticks[-1] / self.ticks[0])
        self.begin, self.end = begin, end

    def __call__(self, value):
        return self.begin + (math.log(value) - self.low) / self.span * (self.end - self.begin)


def text(x, y, content, anchor="start", style="", colour=None):
    fill = f' style="fill: {colour}"' if colour else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}"{fill}>'
            f"{html.escape(content)}</text>")


def grid(x, y):
    for value in x.ticks:
        yield f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y.begin}" y2="{y.end}"/>'
        yield text(x(value), y.begin + 16, in_bytes(value), "middle", "tick")
    for value in y.ticks:
        yield f'<line class="grid" x1="{x.begin}" x2="{x.end}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield text(x.begin - 6, y(value) + 4, in_time(value), "end", "tick")


def apart(wanted, distance=13):
    """Label heights near the wanted ones, no two closer than a line of text."""
    placed = {}
    last = -math.inf
    for name, height in sorted(wanted.items(), key=lambda item: item[1]):
        last = placed[name] = max(height, last + distance)
    return placed


def panel(title, lines, colours):
    points = [point for line in lines.values() for point in line]
    x = Axis([size for size, _ in points], 32 if len({size for size, _ in points}) > 1 else 2,
             LEFT, WIDTH - RIGHT)
    y = Axis([time for _, time in points], 10, HEIGHT - BOTTOM, TOP)
    yield text(LEFT, 22, title, style="title")
    yield from grid(x, y)
    yield text((x.begin + x.end) / 2, HEIGHT - 8, "bytes a rank", "middle", "tick")
    ends = {}
    for name, line in lines.items():
        line = sorted(line)
        path = " ".join(f"{x(size):.1f},{y(time):.1f}" for size, time in line)
        yield f'<polyline class="line" stroke="{colours[name]}" points="{path}"/>'
        for size, time in line:
            yield f'<circle cx="{x(size):.1f}" cy="{y(time):.1f}" r="2.5" fill="{colours[name]}"/>'
        ends[name] = y(line[-1][1]) + 4
    for name, height in apart(ends).items():
        yield text(x.end + 6, height, name, colour=colours[name])


def draw(rows):
    all_panels = panels(rows)
    names = list(dict.fromkeys(contender(row) for row in rows if contender(row) != "memcpy"))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    colours["memcpy"] = LIMIT_COLOUR
    columns = min(COLUMNS, len(all_panels))
    width, height = columns * WIDTH, -(-len(all_panels) // columns) * HEIGHT
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}">\n<style>{STYLE}</style>\n'
           f'<rect width="{width}" height="{height}" fill="white"/>')
    for i, (title, lines) in enumerate(all_panels.items()):
        yield f'<g transform="translate({i % columns * WIDTH} {i // columns * HEIGHT})">'
        yield from panel(title, lines, colours)
        yield "</g>"
    yield "</svg>"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=argparse.FileType(encoding="utf-8"),
                        default=sys.stdin, help="JSON, one object a line (default: stdin)")
    rows = [json.loads(line) for line in parser.parse_args().rows if line.strip()]
    if not rows:
        sys.exit("plot.py: there are no rows to draw")
    print("\n".join(draw(rows)))


if __name__ == "__main__":
    main()
