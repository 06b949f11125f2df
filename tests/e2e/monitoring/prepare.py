#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies monitoring/ for a test: the running services of `assay status --json` (on standard input) as targets, everything
each second, and alerts after a second, so that nothing is waited for. Usage: prepare.py DIR WEBHOOK_PORT ALERTMANAGER_PORT
Prints a free port for Prometheus."""
import json
import os
import re
import shutil
import socket
import sys

import yaml

folder, webhook, alertmanager = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as free:
    prometheus = free.getsockname()[1]
shutil.copytree("monitoring", folder)


def edit(path, change):
    path = os.path.join(folder, path)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(change(text))


def config(text):
    text = re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \w+", r"\1: 1s", text)
    return text.replace("alertmanager:9093", f"127.0.0.1:{alertmanager}").replace("localhost:9090", f"127.0.0.1:{prometheus}")


def routes(text):
    at = yaml.safe_load(text)
    at["route"].update(group_wait="0s", group_interval="1s")
    for route in at["route"]["routes"]:
        route.update(group_wait="0s", group_interval="1s")
    for receiver in at["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://127.0.0.1:{webhook}/", "send_resolved": True}]
    return yaml.safe_dump(at)


edit("prometheus/prometheus.yml", config)
edit("alertmanager/alertmanager.yml", routes)
for name in os.listdir(os.path.join(folder, "prometheus/rules")):
    edit(f"prometheus/rules/{name}", lambda text: re.sub(r"^( *)(interval|for): \w+$", r"\1\2: 1s", text, flags=re.M))
services = [s for s in json.load(sys.stdin)["services"] if s.get("admin_url")]
edit("prometheus/targets.yml", lambda _: json.dumps([
    {"targets": [s["admin_url"].removeprefix("http://")], "labels": {"job": s["name"].partition("-")[0]}} for s in services]))
print(prometheus)
