#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a running Prometheus. Usage: ask.py URL all_up|rules_well|firing ALERT JOB|resolved ALERT JOB
Status 0: it is so; else 1, with what is missing."""
import json
import sys
import urllib.request

url, question, *names = sys.argv[1:]


def get(path):
    with urllib.request.urlopen(url + path, timeout=5) as answer:
        return json.load(answer)["data"]


if question == "all_up":
    targets = get("/api/v1/targets")["activeTargets"]
    bad = [f"{t['labels']['job']} {t['health']} {t['lastError']}" for t in targets if t["health"] != "up"]
    bad += [] if len(targets) >= int(names[0]) else [f"{len(targets)} targets"]
elif question == "rules_well":
    rules = [r for g in get("/api/v1/rules")["groups"] for r in g["rules"]]
    bad = [f"{r['name']} {r['health']} {r.get('lastError', '')}" for r in rules if r["health"] != "ok"]
    bad += [] if len(rules) >= int(names[0]) else [f"{len(rules)} rules"]
else:
    alerts = [a for a in get("/api/v1/alerts")["alerts"] if a["state"] == "firing"
              and a["labels"]["alertname"] == names[0] and a["labels"].get("job") == names[1]]
    bad = [] if bool(alerts) == (question == "firing") else [f"{len(alerts)} alerts {names[0]} are firing"]
print("\n".join(bad))
sys.exit(bool(bad))
