#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Provokes every response that docs/api/monitor.yaml documents, and checks each against its schema (openapi.py).

Usage: monitor_responses.py SPEC HOME ACCOUNT, where HOME holds a cluster that is up, with a champion that has decided for
ACCOUNT, which is on a simulated clock, and that this may do anything to."""
import json
import os
import subprocess
import sys
import time
import urllib.parse
from datetime import datetime, timedelta, timezone

from openapi import Spec, send

SPEC, HOME, ACCOUNT = sys.argv[1:]
WEBHOOKS = "/v1/webhooks"


def run(*words):
    return subprocess.run([os.environ["ASSAY"], *words, "--home", HOME], check=True, capture_output=True, text=True).stdout


class Monitor:
    def __init__(self, spec):
        self.spec = spec
        status = json.loads(run("status", "--json"))
        self.database = status["pg_url"]
        monitor = next(s for s in status["services"] if s["name"] == "monitor")
        self.address = urllib.parse.urlsplit(monitor["url"]).netloc
        self.key = run("keys", "create", "operator", "--scopes", "admin", "--quiet").strip()

    def ask(self, expected, method, template, body=None, query="", key=True, **names):
        path = template.format(**names)
        status, headers, text = send(self.address, method, path + query, {"Authorization": f"Bearer {self.key}"} if key else {}, body)
        if status != expected:
            self.spec.faults.append(f"{method} {path}{query}: {status} where {expected} was expected: {text[:300]!r}")
        self.spec.check((method, template), status, headers, text)
        return json.loads(text) if text else None

    def sql(self, text):
        return subprocess.run(["psql", "-qXAtd", self.database, "-v", "ON_ERROR_STOP=1", "-c", text], check=True,
                              capture_output=True, text=True).stdout.strip()


def watching(m):
    lane = m.sql(f"SELECT account FROM accounts WHERE name = '{ACCOUNT}'")
    here = f"?lane={lane}"
    for _ in range(300):  # until a window has been judged
        models = m.ask(200, "GET", "/v1/drift", query=here)["models"]
        if models and models[0]["subjects"]:
            break
        time.sleep(0.2)
    if not models or not models[0]["subjects"]:
        m.spec.faults.append("no window was judged")
    m.ask(200, "GET", "/v1/drift", query=f"{here}&hours=24")
    m.ask(422, "GET", "/v1/drift", query="?hours=0")
    m.ask(200, "GET", "/v1/drift/{subject}", subject="amount", query=here)
    m.ask(404, "GET", "/v1/drift/{subject}", subject="nothing", query=here)
    m.ask(422, "GET", "/v1/drift/{subject}", subject="amount", query="?lane=x")
    m.ask(200, "GET", "/v1/quality", query=here)
    m.ask(404, "GET", "/v1/quality", query="?lane=999")
    m.ask(422, "GET", "/v1/quality", query="?days=0")
    m.sql("INSERT INTO monitor_requests (name, lane, version, run, reason, at) VALUES ('m', 0, 1, 1, 'a test', now())")
    m.ask(200, "GET", "/v1/model-requests")
    m.ask(200, "GET", "/v1/data-health", query=here)
    m.ask(404, "GET", "/v1/data-health", query="?lane=999")
    m.ask(422, "GET", "/v1/data-health", query="?hours=0")
    m.sql("INSERT INTO monitor_conditions (condition, kind, subject, severity, lane, value, threshold, text, is_raised, since, "
          "change) VALUES ('test', 'drift', 'amount', 'warning', 0, 0.2, NULL, 'a test', true, now(), "
          "nextval('monitor_condition_changes'))")
    m.ask(200, "GET", "/v1/conditions")
    m.ask(422, "GET", "/v1/conditions", query="?after=x")


def alerts(m):
    for _ in range(100):
        found = m.ask(200, "GET", "/v1/alerts")["alerts"]
        if found:
            break
        time.sleep(0.2)
    m.ask(422, "GET", "/v1/alerts", query="?state=nonsense")
    m.ask(200, "GET", "/v1/alerts/{alert}", alert=found[0]["id"])
    m.ask(404, "GET", "/v1/alerts/{alert}", alert=999999)
    until = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    made = m.ask(201, "POST", "/v1/silences", {"matchers": [{"name": "subject", "value": "amount"}], "ends_at": until,
                                                 "comment": "a test"})
    m.ask(422, "POST", "/v1/silences", {"matchers": [], "ends_at": until, "comment": "a test"})
    m.ask(200, "GET", "/v1/silences")
    m.ask(422, "GET", "/v1/silences", query="?state=nonsense")
    m.ask(204, "POST", "/v1/silences/{silence}:expire", silence=made["id"])
    m.ask(404, "POST", "/v1/silences/{silence}:expire", silence=999999)


def webhooks(m):
    one, verb = WEBHOOKS + "/{webhook}", WEBHOOKS + "/{webhook}:"
    m.ask(401, "GET", WEBHOOKS, key=False)
    m.ask(201, "POST", WEBHOOKS, {"name": "ops", "url": "https://hooks.example.com/assay"})
    m.ask(409, "POST", WEBHOOKS, {"name": "ops", "url": "https://hooks.example.com/assay"})
    m.ask(422, "POST", WEBHOOKS, {"name": "Ops!", "url": "https://hooks.example.com/assay"})
    m.ask(200, "GET", WEBHOOKS)
    m.ask(200, "GET", one, webhook="ops")
    m.ask(404, "GET", one, webhook="none")
    m.ask(200, "POST", verb + "rotate", webhook="ops")
    m.ask(404, "POST", verb + "rotate", webhook="none")
    delivery = m.ask(202, "POST", verb + "test", webhook="ops")
    m.ask(404, "POST", verb + "test", webhook="none")
    m.ask(200, "GET", "/v1/deliveries/{delivery}", delivery=delivery["id"])
    m.ask(404, "GET", "/v1/deliveries/{delivery}", delivery=999999)
    m.ask(200, "POST", verb + "disable", webhook="ops")
    m.ask(404, "POST", verb + "disable", webhook="none")
    m.ask(409, "POST", verb + "test", webhook="ops")
    m.ask(200, "POST", verb + "enable", webhook="ops")
    m.ask(404, "POST", verb + "enable", webhook="none")
    m.ask(204, "DELETE", one, webhook="ops")
    m.ask(404, "DELETE", one, webhook="ops")
    for i in range(64):
        m.ask(201, "POST", WEBHOOKS, {"name": f"w{i}", "url": "https://hooks.example.com/assay"})
    m.ask(429, "POST", WEBHOOKS, {"name": "one-more", "url": "https://hooks.example.com/assay"})


def main():
    spec = Spec(SPEC, tells_limits=False)
    run("accounts", "create", "operator")
    monitor = Monitor(spec)
    watching(monitor)
    alerts(monitor)
    webhooks(monitor)
    return spec.report()


sys.exit(main())
