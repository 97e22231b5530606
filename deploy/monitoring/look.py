#!/usr/bin/env python3
"""How does the dashboard look with real numbers, where there is no Grafana?

Draws every panel of dashboard.json from the panel's own queries, asked of a running Prometheus, as one page; and, with
Chromium, as a picture. Not Grafana: panels of three kinds, none of its themes. It shows whether queries answer, legends are
short and scales make sense.

    ./look.py --prometheus http://127.0.0.1:9090 --minutes 10 --picture dashboard.png
"""

import argparse
import html
import json
import math
import pathlib
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
COLUMN, LINE = 60, 34
ASIDE, STEPS = 190, 240
PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#c8f2c2", "#fade2a", "#37872d", "#fa6400", "#c4162a"]
NAMED = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44", "blue": "#3274d9", "purple": "#a352cc"}


def ask(prometheus, path, **parameters):
    address = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)["data"]["result"]


def legend(form, labels):
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form or ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__") or "value"


def shown(value, unit, decimals=None):
    if value is None or math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f} %"
    if unit == "bytes":
        for word in ("B", "KiB", "MiB", "GiB"):
            if abs(value) < 1024 or word == "GiB":
                return f"{value:.{0 if word == 'B' else 1}f} {word}"
            value /= 1024
    if unit == "s":
        for size, word in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size or word == "µs":
                return "0 s" if value == 0 else f"{value / size:.{1 if decimals is None else decimals}f} {word}"
    text = f"{value:.{2 if decimals is None else decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text + (" req/s" if unit == "reqps" else "")


def stat(panel, results):
    defaults = panel["fieldConfig"]["defaults"]
    unit, decimals = defaults.get("unit"), defaults.get("decimals")
    cells = []
    for form, result in results:
        for one in result:
            value = float(one["value"][1])
            text, color = shown(value, unit, decimals), NAMED["blue"]
            for step in defaults.get("thresholds", {}).get("steps", []):
                if step["value"] is None or value >= step["value"]:
                    color = NAMED.get(step["color"], step["color"])
            for mapping in defaults.get("mappings", []):
                for key, meant in mapping["options"].items():
                    if float(key) == value:
                        text, color = meant["text"], NAMED.get(meant["color"], color)
            if panel["options"].get("textMode") == "name":
                text = legend(form, one["metric"])
            cells.append(f'<div class=stat style="background:{color}">{html.escape(text)}</div>')
    return "".join(cells) or f'<div class=stat style="background:#555">{html.escape(defaults.get("noValue", "No data"))}</div>'


def whole_steps(top, unit):
    """Some values up to `top` that are easily read."""
    base = 1024 if unit == "bytes" else 10
    size = base ** math.floor(math.log(top, base)) if top > 0 else 1
    steps = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if unit == "bytes" else (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10)
    step = next((size * s for s in steps if size * s * 5 >= top), top / 4)
    return [step * n for n in range(int(top / step + 1e-9) + 1)]


def times(start, end, x, width, foot):
    out = []
    for part in range(4):
        moment = start + (end - start) * part / 3
        anchor = ("start", "middle", "middle", "end")[part]
        out.append(f'<text x={x(moment):.0f} y={foot} text-anchor={anchor}>{time.strftime("%H:%M", time.gmtime(moment))}</text>')
    return out


def beside(panel, drawing, names):
    """The drawing with its legend, where the panel wants it."""
    legend = panel["options"].get("legend", {})
    if not legend.get("showLegend", True):
        return drawing
    if legend.get("placement") == "right":
        return f'<div class=aside>{drawing}<div class=list>{"<br>".join(names)}</div></div>'
    return drawing + "<div class=legend>" + "&nbsp;&nbsp; ".join(names) + "</div>"


def chart(panel, results, width, height, start, end, marks):
    defaults = panel["fieldConfig"]["defaults"]
    unit, custom = defaults.get("unit"), defaults.get("custom", {})
    colors = {o["matcher"]["options"]: NAMED[o["properties"][0]["value"]["fixedColor"]] for o in panel["fieldConfig"]["overrides"]}
    stacked, log = "stacking" in custom, "scaleDistribution" in custom
    lines = [(legend(form, one["metric"]), [(t, float(v)) for t, v in one["values"]]) for form, result in results for one in result]
    if not lines:
        return f'<div class=none>{html.escape(defaults.get("noValue", "No data"))}</div>'
    if panel["options"]["legend"].get("placement") == "right":
        width -= ASIDE
    elif panel["options"]["legend"].get("showLegend", True):
        height -= 38
    # What is stacked begins where the series before it ends, at each moment, also where that one is not there.
    base = {}
    drawn = []
    for name, points in lines:
        points = [(t, v) for t, v in points if not math.isnan(v)]
        low = [(t, base.get(t, 0) if stacked else 0) for t, _ in points]
        if stacked:
            points = [(t, v + base.get(t, 0)) for t, v in points]
            base.update(points)
        drawn.append((name, points, low))
    values = [v for _, points, _ in drawn for _, v in points]
    top = defaults.get("max") or max(values, default=1) * 1.08 or 1
    left, foot = 68, 18
    x = lambda t: left + (t - start) / (end - start) * (width - left - 6)
    if log:
        lowest = math.floor(math.log10(min((v for v in values if v > 0), default=0.001)))
        highest = max(math.ceil(math.log10(top)), lowest + 1)
        share = lambda v: (math.log10(v) - lowest) / (highest - lowest) if v > 0 else 0
        steps = [10.0 ** n for n in range(lowest, highest + 1)]
    else:
        share = lambda v: min(v, top) / top
        steps = whole_steps(top, unit)
    y = lambda v: 6 + (1 - share(v)) * (height - foot - 12)
    out = [f'<svg width={width} height={height}>']
    for value in steps:
        out.append(f'<line x1={left} x2={width} y1={y(value):.1f} y2={y(value):.1f} stroke="#2c3235"/><text x={left - 6} y={y(value) + 4:.1f} text-anchor=end>{html.escape(shown(value, unit))}</text>')
    for moment, color in marks:
        out.append(f'<line x1={x(moment):.1f} x2={x(moment):.1f} y1=6 y2={height - foot} stroke="{color}" stroke-dasharray="4 3"/>')
    out += times(start, end, x, width, height - 2)
    names = []
    step = max(1, int((end - start) / STEPS))
    for place, (name, points, low) in enumerate(drawn):
        color = colors.get(name, PALETTE[place % len(PALETTE)])
        names.append(f'<span style="color:{color}">&#9644;</span> {html.escape(name)}')
        # Where nothing was told there is a gap, unless the panel spans it.
        pieces, piece = [], []
        for point, under in zip(points, low):
            if piece and (stacked or not custom.get("spanNulls")) and point[0] - piece[-1][0][0] > step * 1.5:
                pieces.append(piece)
                piece = []
            piece.append((point, under))
        for piece in [*pieces, piece]:
            if not piece:
                continue
            way = " ".join(f"{x(t):.1f},{y(v):.1f}" for (t, v), _ in piece)
            back = " ".join(f"{x(t):.1f},{y(v):.1f}" for _, (t, v) in reversed(piece))
            opacity = custom.get("fillOpacity", 0) / 100
            if opacity:
                out.append(f'<polygon points="{way} {back}" fill="{color}" fill-opacity="{opacity}"/>')
            out.append(f'<polyline points="{way}" fill=none stroke="{color}" stroke-width=1.5 />')
    return beside(panel, "".join(out) + "</svg>", names)


def timeline(panel, results, width, height, start, end):
    """A line for each series, coloured by what it was."""
    defaults = panel["fieldConfig"]["defaults"]
    rows = [(legend(form, one["metric"]), [(t, float(v)) for t, v in one["values"]]) for form, result in results for one in result]
    if not rows:
        return f'<div class=none>{html.escape(defaults.get("noValue", "No data"))}</div>'
    meant = {float(key): NAMED.get(m["color"], m["color"]) for mapping in defaults["mappings"] for key, m in mapping["options"].items()}
    left, foot, step = 190 if any(len(name) > 14 for name, _ in rows) else 90, 18, max(1, int((end - start) / STEPS))
    high = (height - foot - 8) / max(len(rows), 3)
    x = lambda t: left + (t - start) / (end - start) * (width - left - 6)
    out = [f'<svg width={width} height={height}>']
    for place, (name, points) in enumerate(rows):
        at = 4 + place * high
        out.append(f'<text x={left - 6} y={at + high / 2 + 4:.1f} text-anchor=end>{html.escape(name)}</text>')
        for moment, value in points:
            color = meant.get(value, "#555")
            out.append(f'<rect x={x(moment):.1f} y={at + high * 0.1:.1f} width={x(start + step) - x(start) + 0.5:.1f} height={high * 0.8:.1f} fill="{color}"/>')
    out += times(start, end, x, width, height - 2)
    return "".join(out) + "</svg>"


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--prometheus", default="http://127.0.0.1:9090")
    words.add_argument("--minutes", type=float, default=15)
    words.add_argument("--end", type=float, help="seconds since 1970; now where absent")
    words.add_argument("--rate-interval", default="1m")
    words.add_argument("--page", type=pathlib.Path)
    words.add_argument("--picture", type=pathlib.Path)
    words.add_argument("--chromium", default="chromium")
    given = words.parse_args()
    end = given.end or time.time()
    start = end - given.minutes * 60
    step = max(1, int((end - start) / STEPS))
    page, silent = [], []
    dashboard = json.loads((HERE / "dashboard.json").read_text())
    within = lambda text: text.replace("$__rate_interval", given.rate_interval).replace("$job", ".+").replace("$instance", ".+")
    marks = []
    for annotation in dashboard["annotations"]["list"]:
        for one in ask(given.prometheus, "query_range", query=within(annotation["expr"]), start=start, end=end, step=step):
            # As long as the window of its question an event is told again; the first time is when it was.
            known = None
            for moment, _ in one["values"]:
                if known is None or moment - known > step * 1.5:
                    marks.append((moment, NAMED[annotation["iconColor"]]))
                known = moment
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        width, height = at["w"] * COLUMN - 8, at["h"] * LINE - 8
        place = f'left:{at["x"] * COLUMN}px;top:{at["y"] * LINE}px;width:{width}px;height:{height}px'
        if panel["type"] == "row":
            page.append(f'<div class=row style="{place}">{html.escape(panel["title"])}</div>')
            continue
        results = []
        for target in panel["targets"]:
            query = within(target["expr"])
            if panel["type"] == "stat":
                result = ask(given.prometheus, "query", query=query, time=end)
            else:
                result = ask(given.prometheus, "query_range", query=query, start=start, end=end, step=step)
            results.append((target.get("legendFormat", ""), result))
            if not result:
                silent.append(f'{panel["title"]}: {target["expr"]}')
        if panel["type"] == "stat":
            draw = stat(panel, results)
        elif panel["type"] == "state-timeline":
            draw = timeline(panel, results, width - 16, height - 26, start, end)
        else:
            draw = chart(panel, results, width - 16, height - 26, start, end, marks)
        page.append(f'<div class=panel style="{place}"><b>{html.escape(panel["title"])}</b>{draw}</div>')
    text = """<!doctype html><meta charset=utf-8><style>
body{background:#111217;color:#ccccdc;font:12px sans-serif;margin:8px;position:relative}
.panel,.row{position:absolute;overflow:hidden}.panel{background:#181b1f;border:1px solid #25282d;box-sizing:border-box;padding:6px 8px;display:flex;flex-direction:column}
.row{font-size:15px;padding-top:8px}.stat{flex:1;margin:4px 0;display:flex;align-items:center;justify-content:center;font-size:20px;color:#fff;border-radius:3px}
text{fill:#9fa0a8;font-size:11px}.legend{line-height:16px;max-height:34px;overflow:hidden}.none{margin:auto;color:#888}.aside{display:flex}.list{line-height:16px;padding:6px 0 0 8px;white-space:nowrap;overflow:hidden}</style>""" + "".join(page)
    with tempfile.TemporaryDirectory() as folder:
        written = given.page or pathlib.Path(folder) / "page.html"
        written.write_text(text)
        if given.picture:
            lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
            size = f"{24 * COLUMN + 16},{lines * LINE + 24}"
            subprocess.run([given.chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
                            f"--window-size={size}", f"--screenshot={given.picture.resolve()}", written.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    for query in silent:
        print("no data:", query)


if __name__ == "__main__":
    main()
