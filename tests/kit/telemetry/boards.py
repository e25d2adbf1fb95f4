"""Draws the dashboards with the data of a Prometheus, as SVG: boards.py PROMETHEUS_URL SECONDS FOLDER DASHBOARD...

Grafana's own pictures need Grafana. These have the same panels in the same places, with the same queries.
"""

import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request
from html import escape

COLUMN, ROW, GAP = 50, 34, 8
COLORS = ["#3274d9", "#e0752d", "#56a64b", "#a352cc", "#c4162a", "#b7950b", "#0f9b8e", "#6e7b8b"]
FONT = 'font-family="sans-serif"'


def ask(url, expr, start, end, step):
    query = urllib.parse.urlencode({"query": expr, "start": start, "end": end, "step": step})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=30) as answer:
        return json.load(answer)["data"]["result"]


def filled(expr, chosen):
    for name, values in chosen.items():
        expr = expr.replace(f"${name}", values)
    return expr.replace("$__rate_interval", "15s")


def choices(url, dashboard, now):
    """All values of each variable, as Grafana fills them in."""
    chosen = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            found = ask(url, filled(series, chosen), now, now, 1)
            chosen[variable["name"]] = "|".join(sorted({one["metric"][label] for one in found}))
    return chosen


def shown(value, unit):
    """The value as Grafana prints it."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        for name in ("B", "KiB", "MiB"):
            if abs(value) < 1024:
                return f"{value:.3g} {name}"
            value /= 1024
        return f"{value:.3g} GiB"
    if unit == "s":
        scale, name = next((pair for pair in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")) if abs(value) >= pair[0]), (1e-6, "µs"))
        return f"{value / scale:.3g} {name}"
    suffix = {"pps": " p/s", "short": "", "none": ""}.get(unit, f" {unit}" if unit else "")
    return f"{value:.4g}{suffix}"


def text(x, y, words, size=12, anchor="start", color="#333", weight="normal"):
    style = f'{FONT} font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="{anchor}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(str(words), quote=False)}</text>'


class Names:
    """Short names for addresses and identities, which differ in each run."""

    def __init__(self):
        self.known = {}

    def label(self, target, series):
        words = target.get("legendFormat") or ""
        for name, value in series["metric"].items():
            if name == "instance":
                value = self.known.setdefault(value, f"node {len(self.known) + 1}")
            if name == "identity":
                value = value[:6] + "…"
            words = words.replace("{{" + name + "}}", value).replace("{{ " + name + " }}", value)
        return words


def points(series):
    return [(float(at), float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf", "-Inf")]


class Board:
    def __init__(self, url, dashboard, start, end):
        self.dashboard, self.start, self.end = dashboard, start, end
        self.url, self.names, self.parts, self.height = url, Names(), [], 0
        self.chosen = choices(url, dashboard, end)

    def data(self, panel, step=2):
        found = []
        for target in panel.get("targets", []):
            expr = filled(target["expr"], self.chosen)
            for series in ask(self.url, expr, self.start, self.end, step):
                if points(series):
                    found.append((self.names.label(target, series), points(series), series["metric"]))
        if not found:
            raise SystemExit(f"the panel {panel['title']} of {self.dashboard['title']} has no data")
        return found

    def at(self, moment, x, width):
        return x + (moment - self.start) / (self.end - self.start) * width

    def panel(self, panel):
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP + 40
        width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        self.height = max(self.height, y + height + GAP)
        if panel["type"] == "row":
            self.parts.append(text(x, y + 18, panel["title"], 15, weight="bold"))
            return
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="#fff" stroke="#d8d9da" rx="3"/>')
        self.parts.append(text(x + 8, y + 18, panel["title"], 12, weight="bold"))
        draw = {"stat": self.stat, "state-timeline": self.states, "heatmap": self.heat}.get(panel["type"], self.lines)
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
        draw(panel, unit, (x, y + 26, width, height - 30))

    def stat(self, panel, unit, box):
        x, y, width, height = box
        value = self.data(panel)[0][1][-1][1]
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        color = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1:] or ["green"]
        color = {"green": "#37872d", "red": "#c4162a", "orange": "#e0752d", "yellow": "#b7950b"}.get(color[0], color[0])
        self.parts.append(text(x + width / 2, y + height / 2 + 10, shown(value, unit), 28, "middle", color))

    def states(self, panel, _, box):
        x, y, width, height = box
        series = self.data(panel)
        row = min(26, height / len(series))
        for index, (label, values, _) in enumerate(series):
            top, left = y + index * row, x + 90
            self.parts.append(text(x + 8, top + row / 2 + 4, label, 11))
            step = (width - 100) / max(1, len(values))
            for number, (_, value) in enumerate(values):
                color = "#56a64b" if value == 1 else "#c4162a"
                self.parts.append(
                    f'<rect x="{left + number * step:.1f}" y="{top + 2:.0f}" width="{step + 0.3:.1f}" '
                    f'height="{row - 4:.0f}" fill="{color}"/>'
                )

    def heat(self, panel, _, box):
        x, y, width, height = box
        series = sorted(self.data(panel, 5), key=lambda one: float(one[2]["le"]))
        series = [one for one in series if one[2]["le"] != "+Inf"]
        below, most = {}, 1e-9
        cells = []
        for index, (_, values, metric) in enumerate(series):
            for at, value in values:
                cells.append((index, at, max(0.0, value - below.get(at, 0.0))))
                below[at] = value
        most = max([most] + [count for *_, count in cells])
        row, left = height / len(series), x + 60
        for index, at, count in cells:
            if count > 0:
                cell = (width - 70) * 5 / (self.end - self.start)
                self.parts.append(
                    f'<rect x="{self.at(at, left, width - 70 - cell):.1f}" y="{y + height - (index + 1) * row:.1f}" '
                    f'width="{cell:.1f}" height="{row:.1f}" fill="#c4162a" fill-opacity="{0.15 + 0.85 * count / most:.2f}"/>'
                )
        for index in range(0, len(series), max(1, len(series) // 5)):
            label = shown(float(series[index][2]["le"]), "s")
            self.parts.append(text(x + 55, y + height - index * row, label, 10, "end", "#777"))

    def lines(self, panel, unit, box):
        x, y, width, height = box
        series = self.data(panel)
        left, wide, high = x + 62, width - 72, height - 40
        least = 0.0 if panel["fieldConfig"]["defaults"].get("min") == 0 else min(v for _, vs, _ in series for _, v in vs)
        most = max(max(v for _, vs, _ in series for _, v in vs), least + 1e-9)
        most = most if most > least + 1e-9 else least + 1
        for part in range(4):
            level = y + 8 + high - part / 3 * high
            self.parts.append(f'<path d="M{left} {level:.1f}H{left + wide}" stroke="#eee"/>')
            self.parts.append(text(left - 5, level + 4, shown(least + part / 3 * (most - least), unit), 10, "end", "#777"))
        cursor = left
        for index, (label, values, _) in enumerate(series):
            color = COLORS[index % len(COLORS)]
            line = " ".join(
                f"{self.at(at, left, wide):.1f},{y + 8 + high - (value - least) / (most - least) * high:.1f}"
                for at, value in values
            )
            self.parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.3"/>')
            if label and cursor + 6 * len(label) < left + wide:
                self.parts.append(f'<rect x="{cursor}" y="{y + high + 20:.0f}" width="10" height="3" fill="{color}"/>')
                self.parts.append(text(cursor + 14, y + high + 25, label, 10))
                cursor += 6 * len(label) + 26

    def draw(self):
        for panel in self.dashboard["panels"]:
            self.panel(panel)
        width = 24 * COLUMN + 2 * GAP
        self.parts.insert(0, text(GAP, 30, self.dashboard["title"], 20, weight="bold"))
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {self.height}" width="{width}">'
        return "\n".join([head, '<rect width="100%" height="100%" fill="#f4f5f5"/>', *self.parts, "</svg>\n"])


def main(url, seconds, folder, *dashboards):
    end = time.time()
    for path in map(pathlib.Path, dashboards):
        board = Board(url, json.loads(path.read_text()), end - float(seconds), end)
        (pathlib.Path(folder) / f"dashboard-{path.stem}.svg").write_text(board.draw())


main(*sys.argv[1:])
