#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the dashboards and the rules to what the services of a running cluster really show. Usage: dashboards.py PROMETHEUS
  - every metric that a panel or a rule names is shown by some service (or recorded by a rule);
  - every metric that a service shows has a panel, or a line with the reason in monitoring/grafana/without_panel.txt;
  - Prometheus takes every panel's queries, and answers with data where a metric in them has any sample at all;
  - names obey Prometheus' rules: promtool has no remark on any service's page.
Prints what is wrong; status 1 when anything is."""
import glob
import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request

import yaml

prometheus = sys.argv[1]
NAME = re.compile(r"\b(?:assay|process)_[a-z0-9_]+\b")
RECORDED = re.compile(r"\b[a-z_]+:[a-z_0-9]+:[a-z_0-9]+\b")
faults = []


def get(path):
    with urllib.request.urlopen(prometheus + path, timeout=10) as answer:
        return json.load(answer)["data"]


def metrics_of(expr):
    """The metrics that a query names, as the services call their families; without recorded series and words in quotes."""
    return NAME.findall(RECORDED.sub("", re.sub(r'"[^"]*"', "", expr)))


def family(name):
    return name if name in shown else re.sub(r"_(bucket|sum|count)$", "", name)


shown, sampled = set(), set()
for target in get("/api/v1/targets")["activeTargets"]:
    job = target["labels"]["job"]
    if job in ("prometheus", "alertmanager"):
        continue
    with urllib.request.urlopen(target["scrapeUrl"], timeout=10) as answer:
        page = answer.read()
    remarks = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    if remarks.returncode:
        faults.append(f"{job}: {remarks.stderr.decode().strip()}")
    text = page.decode()
    shown |= set(re.findall(r"^# TYPE (\S+)", text, re.M))
    sampled |= set(re.findall(r"^([a-z_0-9]+)[ {]", text, re.M))

with open("monitoring/grafana/without_panel.txt", encoding="utf-8") as f:
    excused = dict(line.rstrip().split(maxsplit=1) for line in f if line.strip() and not line.startswith("#"))
rules = [r for path in glob.glob("monitoring/prometheus/rules/*.yml") for g in yaml.safe_load(open(path, encoding="utf-8"))["groups"]
         for r in g["rules"]]
recorded = {r["record"]: set(metrics_of(r["expr"])) for r in rules if "record" in r}

drawn = set()
for path in sorted(glob.glob("monitoring/grafana/dashboards/*.json")):
    with open(path, encoding="utf-8") as f:
        dashboard = json.load(f)
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        faults.append(f"{path}: two panels have the same id")
    for panel in dashboard["panels"]:
        what = f"{dashboard['title']}: {panel['title']}"
        has_data, wanted = False, set()
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "1m")
            for name in RECORDED.findall(re.sub(r'"[^"]*"', "", expr)):
                if name not in recorded:
                    faults.append(f"{what}: nobody records {name}")
                drawn |= {family(n) for n in recorded.get(name, ())}
            names = metrics_of(expr)
            drawn |= {family(n) for n in names}
            wanted |= set(names)
            try:
                has_data |= bool(get("/api/v1/query?" + urllib.parse.urlencode({"query": expr}))["result"])
            except OSError as e:
                faults.append(f"{what}: Prometheus refuses {expr}: {e}")
        for name in wanted:
            if family(name) not in shown:
                faults.append(f"{what}: no service shows {name}")
        if not has_data and wanted & sampled and not wanted & set(excused):
            # Samples may be of a job that the panel does not ask for.
            of = re.search(r'job="(\w+)"', panel["targets"][0]["expr"])
            if not of or any(get("/api/v1/query?" + urllib.parse.urlencode({"query": f'{n}{{job="{of[1]}"}}'}))["result"] for n in wanted):
                faults.append(f"{what}: no data")
for rule in rules:
    for name in metrics_of(rule["expr"]):
        if family(name) not in shown:
            faults.append(f"{rule.get('alert') or rule.get('record')}: no service shows {name}")
for name in sorted(shown - drawn - set(excused)):
    faults.append(f"{name} has no panel: give it one in scripts/dashboards, or a reason in "
                  "monitoring/grafana/without_panel.txt")
for name in excused:
    if name in drawn or name not in shown:
        faults.append(f"without_panel.txt: {name} {'has a panel' if name in drawn else 'is shown by nobody'}")
print("\n".join(dict.fromkeys(faults)))
sys.exit(bool(faults))
