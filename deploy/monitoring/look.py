#!/usr/bin/env python3
"""How does the dashboard look with real numbers, where there is no Grafana?

Draws every panel of dashboard.json from the panel's own queries, asked of a running Prometheus, as one page; and, with
Chromium, as a picture. Not Grafana: panels of two kinds, none of its themes. It shows whether queries answer, legends are
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


def chart(panel, results, width, height, start, end):
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults.get("unit")
    colors = {o["matcher"]["options"]: NAMED[o["properties"][0]["value"]["fixedColor"]] for o in panel["fieldConfig"]["overrides"]}
    stacked = "stacking" in defaults.get("custom", {})
    lines = [(legend(form, one["metric"]), [(t, float(v)) for t, v in one["values"]]) for form, result in results for one in result]
    if not lines:
        return "<div class=none>No data</div>"
    base = {}
    drawn = []
    for name, points in lines:
        points = [(t, v) for t, v in points if not math.isnan(v)]
        low = [(t, base.get(t, 0) if stacked else 0) for t, _ in points]
        if stacked:
            points = [(t, v + base.get(t, 0)) for t, v in points]
            base.update(points)
        drawn.append((name, points, low))
    top = defaults.get("max") or max((v for _, points, _ in drawn for _, v in points), default=1) * 1.08 or 1
    left, foot = 68, 18
    x = lambda t: left + (t - start) / (end - start) * (width - left - 6)
    y = lambda v: 6 + (1 - min(v, top) / top) * (height - foot - 12)
    out = [f'<svg width={width} height={height}>']
    for part in range(5):
        value = top * part / 4
        out.append(f'<line x1={left} x2={width} y1={y(value):.1f} y2={y(value):.1f} stroke="#2c3235"/><text x={left - 6} y={y(value) + 4:.1f} text-anchor=end>{html.escape(shown(value, unit))}</text>')
    for part in range(4):
        moment = start + (end - start) * part / 3
        out.append(f'<text x={min(x(moment), width - 16):.0f} y={height - 2} text-anchor=middle>{time.strftime("%H:%M", time.gmtime(moment))}</text>')
    names = []
    for place, (name, points, low) in enumerate(drawn):
        color = colors.get(name, PALETTE[place % len(PALETTE)])
        names.append(f'<span style="color:{color}">&#9644;</span> {html.escape(name)}')
        if points:
            way = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in points)
            back = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in reversed(low))
            out.append(f'<polygon points="{way} {back}" fill="{color}" fill-opacity="{0.4 if stacked else 0.08}"/><polyline points="{way}" fill=none stroke="{color}" stroke-width=1.5 />')
    return "".join(out) + "</svg><div class=legend>" + "&nbsp;&nbsp; ".join(names) + "</div>"


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--prometheus", default="http://127.0.0.1:9090")
    words.add_argument("--minutes", type=float, default=15)
    words.add_argument("--rate-interval", default="1m")
    words.add_argument("--page", type=pathlib.Path)
    words.add_argument("--picture", type=pathlib.Path)
    words.add_argument("--chromium", default="chromium")
    given = words.parse_args()
    end = time.time()
    start = end - given.minutes * 60
    step = max(1, int((end - start) / 240))
    page, silent = [], []
    for panel in json.loads((HERE / "dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        width, height = at["w"] * COLUMN - 8, at["h"] * LINE - 8
        place = f'left:{at["x"] * COLUMN}px;top:{at["y"] * LINE}px;width:{width}px;height:{height}px'
        if panel["type"] == "row":
            page.append(f'<div class=row style="{place}">{html.escape(panel["title"])}</div>')
            continue
        results = []
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", given.rate_interval).replace("$job", ".+").replace("$instance", ".+")
            if panel["type"] == "stat":
                result = ask(given.prometheus, "query", query=query, time=end)
            else:
                result = ask(given.prometheus, "query_range", query=query, start=start, end=end, step=step)
            results.append((target.get("legendFormat", ""), result))
            if not result:
                silent.append(f'{panel["title"]}: {target["expr"]}')
        draw = stat(panel, results) if panel["type"] == "stat" else chart(panel, results, width - 16, height - 62, start, end)
        page.append(f'<div class=panel style="{place}"><b>{html.escape(panel["title"])}</b>{draw}</div>')
    text = """<!doctype html><meta charset=utf-8><style>
body{background:#111217;color:#ccccdc;font:12px sans-serif;margin:8px;position:relative}
.panel,.row{position:absolute;overflow:hidden}.panel{background:#181b1f;border:1px solid #25282d;box-sizing:border-box;padding:6px 8px;display:flex;flex-direction:column}
.row{font-size:15px;padding-top:8px}.stat{flex:1;margin:4px 0;display:flex;align-items:center;justify-content:center;font-size:20px;color:#fff;border-radius:3px}
text{fill:#9fa0a8;font-size:11px}.legend{line-height:16px;max-height:34px;overflow:hidden}.none{margin:auto;color:#888}</style>""" + "".join(page)
    with tempfile.TemporaryDirectory() as folder:
        written = given.page or pathlib.Path(folder) / "page.html"
        written.write_text(text)
        if given.picture:
            size = f"{24 * COLUMN + 16},{60 * LINE + 24}"
            subprocess.run([given.chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
                            f"--window-size={size}", f"--screenshot={given.picture.resolve()}", written.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    for query in silent:
        print("no data:", query)


if __name__ == "__main__":
    main()
