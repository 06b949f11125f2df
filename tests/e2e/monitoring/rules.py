#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every alert has a severity, a summary, a case in which it fires and one in which it does not, and its entry in
docs/operations.md, which in turn has none of an alert that is gone; so has each alert of the monitor; every recording rule has a case; and a rule that
looks at a recorded series names one that is recorded. Prints what is wrong; status 1 when anything is."""
import glob
import re
import sys

import yaml

RULES = sorted(glob.glob("monitoring/prometheus/rules/*.yml"))
faults = []


def load(path):
    with open(path, encoding="utf-8") as f:
        return yaml.safe_load(f)


def must(holds, what):
    if not holds:
        faults.append(what)


rules = [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"]]
alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
recorded = {rule["record"] for rule in rules if "record" in rule}
must(len(alerts) + len(recorded) == len(rules), "two rules have the same name")

with open("docs/operations.md", encoding="utf-8") as f:
    operations = f.read()
runbook = operations.partition("\n## Runbook\n")[2].partition("\n## ")[0]
entries = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^### |\Z)", runbook, re.M | re.S))

fires, rests, tried = set(), set(), ""
for path in glob.glob("monitoring/prometheus/tests/*_test.yml"):
    for case in load(path)["tests"]:
        for test in case.get("alert_rule_test", []):
            (fires if test["exp_alerts"] else rests).add(test["alertname"])
        tried += " ".join(test["expr"] for test in case.get("promql_expr_test", []))

for name, rule in alerts.items():
    notes = rule.get("annotations", {})
    must(re.fullmatch("([A-Z][a-z]+)+", name), f"{name}: not CamelCase")
    must(rule.get("labels", {}).get("severity") in ("page", "ticket"), f"{name}: severity is neither page nor ticket")
    must(notes.get("summary"), f"{name}: no summary")
    must(notes.get("runbook") == f"docs/operations.md#{name.lower()}", f"{name}: its runbook is {notes.get('runbook')}")
    must("**Look at**" in entries.get(name, "") and "**Do**" in entries.get(name, ""),
         f"{name}: docs/operations.md does not say what to look at and what to do")
    must(name in fires, f"{name}: no case in which it fires")
    must(name in rests, f"{name}: no case in which it does not")
with open("shared/alerts/runbook.c", encoding="utf-8") as f:
    told = dict(re.findall(r'\{ "(\w+)", "docs/operations\.md#(\w+)" \}', f.read()))
must(told, "shared/alerts/runbook.c has no table")
for name, anchor in told.items():
    entry = next((text for title, text in entries.items() if title.lower() == anchor), "")
    must("**Look at**" in entry and "**Do**" in entry, f"{name}: docs/operations.md#{anchor} does not say what to do")
for name in entries:
    must(name in alerts or name in told, f"docs/operations.md has {name}, which is no alert")
for name in recorded:
    must(re.search(re.escape(name) + r"\b", tried), f"{name}: no case")
for rule in rules:
    for name in re.findall(r"\b[a-z_]+:[a-z_0-9]+:[a-z_0-9]+\b", rule["expr"]):
        must(name in recorded, f"{rule.get('alert') or rule['record']}: nobody records {name}")
    # What may be linked to must be there.
for anchor in re.findall(r"\]\(#([a-z0-9-]+)\)", operations):
    headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", operations, re.M)}
    must(anchor in headings, f"docs/operations.md links to #{anchor}, which is not there")

print("\n".join(faults))
sys.exit(bool(faults))
