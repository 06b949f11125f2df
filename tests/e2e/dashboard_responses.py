#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the dashboard what docs/api/dashboard.yaml documents of its own, and what it passes on to others against their own
documents; each answer against its schema (openapi.py): of each route that is asked here, every documented status.

Usage: dashboard_responses.py API_DIR HOME, where HOME holds a cluster that is up, with a champion that has decided, and that
this may do anything to."""
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
from datetime import datetime, timezone

from openapi import Spec, send

API, HOME = sys.argv[1:]
PASSWORD = "correct horse battery staple"
ONE, KEY = "/v1/cases/{case}", "/v1/keys/{prefix}"
# What is passed on as it is: who answers, and what to ask.
PASSED = {"rules": ["/v1/rulesets", "/v1/rulesets:names", "/v1/lists"],
          "retrainer": ["/v1/retraining-runs", "/v1/retraining-schedules", "/v1/experiments", "/v1/models"],
          "monitor": ["/v1/drift", "/v1/model-requests", "/v1/conditions", "/v1/alerts", "/v1/silences", "/v1/webhooks"]}


def run(*words, given=None):
    return subprocess.run([os.environ["ASSAY"], *words, "--home", HOME], check=True, stdout=subprocess.PIPE, text=True, input=given).stdout


class Visitor:
    """One who is logged in, or (without a name) nobody."""

    def __init__(self, spec, address, name=None):
        self.spec, self.address, self.headers = spec, address, {}
        if name:
            status, headers, text = self.send("POST", "/v1/session", {"name": name, "password": PASSWORD})
            spec.check(("POST", "/v1/session"), status, headers, text)
            cookies = "; ".join(each.split(";")[0] for each in headers["set-cookie"].split("\n"))
            self.headers = {"Cookie": cookies, "X-CSRF-Token": json.loads(text)["csrf"]}

    def change_password(self, old, new):
        status, headers, text = self.send("POST", "/v1/session/password", {"old": old, "new": new})
        self.spec.check(("POST", "/v1/session/password"), status, headers, text)
        cookies = "; ".join(each.split(";")[0] for each in headers["set-cookie"].split("\n"))
        self.headers = {"Cookie": cookies, "X-CSRF-Token": json.loads(text)["csrf"]}

    def send(self, method, path, body=None):
        return send(self.address, method, path, self.headers, body)

    def ask(self, expected, method, template, body=None, query="", **names):
        path = template.format(**names) + query
        status, headers, text = self.send(method, path, body)
        if status != expected:
            self.spec.faults.append(f"{method} {path}: {status} where {expected} was expected: {text[:300]!r}")
        self.spec.check((method, template), status, headers, text)
        return json.loads(text) if text else None


def make_cases(status):
    """Payments that a rule wants to be looked at; how many."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as rules:
        rules.write('rules: [{id: all, when: "tx.amount > 0", action: review, reason: "a test"}]')
        rules.flush()
        draft = run("rules", "draft", rules.name, "--author", "somebody")
    run("rules", "publish", draft.split()[1].rstrip(":"), "--author", "somebody-else")
    run("accounts", "create", "payers")
    key = run("keys", "create", "payers", "--scopes", "decide", "--quiet").strip()
    address = urllib.parse.urlsplit(next(s for s in status["services"] if s["name"] == "ingestion")["url"]).netloc
    made = 0
    for i in range(100):  # until the rules are in force, and three times more
        now = datetime.now(timezone.utc).isoformat()
        payment = {"transaction_id": f"p-{i}", "occurred_at": now, "amount": 1999, "currency": "USD", "customer_id": f"c-{i}"}
        said = send(address, "POST", "/v1/transactions", {"Authorization": f"Bearer {key}"}, payment)[2]
        made += json.loads(said).get("action") == "review"
        if made == 3:
            break
        time.sleep(0.1)
    return made


def sessions(nobody, ann):
    nobody.ask(401, "GET", "/v1/session")
    nobody.ask(401, "DELETE", "/v1/session")
    nobody.ask(401, "POST", "/v1/session/password", {"old": PASSWORD, "new": PASSWORD})
    ann.ask(200, "GET", "/v1/session")
    ann.ask(422, "POST", "/v1/session/password", {"old": PASSWORD, "new": "short"})
    ann.ask(403, "POST", "/v1/session/password", {"old": PASSWORD + "!", "new": PASSWORD})
    ann.change_password(PASSWORD, PASSWORD + "!")
    ann.change_password(PASSWORD + "!", PASSWORD)
    without = Visitor(ann.spec, ann.address)
    without.headers = {"Cookie": ann.headers["Cookie"]}
    without.ask(403, "DELETE", "/v1/session")
    for _ in range(40):
        status, headers, text = nobody.send("POST", "/v1/session", {"name": "nobody-at-all", "password": PASSWORD})
        nobody.spec.check(("POST", "/v1/session"), status, headers, text)
        if status == 429:
            break


def cases(nobody, ann, auditor, author, count):
    for _ in range(300):
        found = ann.ask(200, "GET", "/v1/cases")["cases"]
        if count and len(found) >= count:
            break
        time.sleep(0.2)
    nobody.ask(401, "GET", "/v1/cases")
    author.ask(403, "GET", "/v1/cases")
    ann.ask(422, "GET", "/v1/cases", query="?state=nonsense")
    auditor.ask(403, "POST", "/v1/cases:next")
    nobody.ask(401, "POST", "/v1/cases:next")
    if len(found) < count or not count:
        ann.spec.faults.append(f"{len(found)} cases were made of {count} payments")
        return
    the = ann.ask(200, "POST", "/v1/cases:next")
    for _ in range(100):  # until none is left
        status, headers, text = ann.send("POST", "/v1/cases:next")
        ann.spec.check(("POST", "/v1/cases:next"), status, headers, text)
        if status == 204:
            break
    case = the["case"]
    for part in ("", "/graph", "/places", "/velocity"):
        ann.ask(200, "GET", ONE + part, case=case)
        ann.ask(404, "GET", ONE + part, case=999999)
    note = {"text": "a test"}
    ann.ask(200, "POST", ONE + "/notes", note, case=case)
    auditor.ask(403, "POST", ONE + "/notes", note, case=case)
    ann.ask(404, "POST", ONE + "/notes", note, case=999999)
    ann.ask(422, "POST", ONE + "/notes", {"text": ""}, case=case)
    ann.ask(200, "POST", ONE + ":extend", case=case)
    ann.ask(404, "POST", ONE + ":extend", case=999999)
    auditor.ask(403, "POST", ONE + ":extend", case=case)
    verdict = {"version": the["version"], "outcome": "legit", "reason": "customer_confirmed"}
    auditor.ask(403, "POST", ONE + ":decide", verdict, case=case)
    ann.ask(404, "POST", ONE + ":decide", verdict, case=999999)
    ann.ask(409, "POST", ONE + ":decide", {**verdict, "version": 999}, case=case)
    ann.ask(200, "POST", ONE + ":decide", verdict, case=case)
    ann.ask(409, "POST", ONE + ":extend", case=case)
    ann.ask(200, "POST", ONE + ":undo", case=case)
    ann.ask(409, "POST", ONE + ":undo", case=case)
    ann.ask(404, "POST", ONE + ":undo", case=999999)
    auditor.ask(403, "POST", ONE + ":undo", case=case)
    ann.ask(200, "POST", "/v1/cases:preview", {})
    auditor.ask(403, "POST", "/v1/cases:preview", {})


def views(nobody, ann):
    nobody.ask(401, "GET", "/v1/views")
    ann.ask(204, "PUT", "/v1/views/{name}", {"filter": {"sort": "due"}, "is_shared": False}, name="mine")
    ann.ask(422, "PUT", "/v1/views/{name}", {"filter": {}, "is_shared": False}, name="m" * 65)
    ann.ask(200, "GET", "/v1/views")
    ann.ask(204, "DELETE", "/v1/views/{name}", name="mine")
    ann.ask(404, "DELETE", "/v1/views/{name}", name="mine")


def people(ann, root):
    one = "/v1/users/{name}:"
    carl = {"name": "carl", "full_name": "Carl", "roles": ["analyst"], "password": PASSWORD}
    ann.ask(403, "GET", "/v1/users")
    root.ask(204, "POST", "/v1/users", carl)
    root.ask(409, "POST", "/v1/users", carl)
    root.ask(200, "GET", "/v1/users")
    for verb, body in (("password", {"password": PASSWORD}), ("roles", {"roles": ["lead"]}), ("disable", None), ("enable", None)):
        root.ask(204, "POST", one + verb, body, name="carl")
        root.ask(404, "POST", one + verb, body, name="nobody")
    ann.ask(403, "GET", "/v1/keys")
    made = root.ask(201, "POST", "/v1/keys", {"account": "replayed", "scopes": ["read"], "note": "a test"})
    root.ask(404, "POST", "/v1/keys", {"account": "nobody", "scopes": ["read"]})
    root.ask(200, "GET", "/v1/keys")
    prefix = made["key"]["prefix"] if isinstance(made.get("key"), dict) else made["prefix"]
    root.ask(204, "POST", KEY + ":revoke", prefix=prefix)
    root.ask(404, "POST", KEY + ":revoke", prefix="nobody")
    ann.ask(403, "GET", "/v1/audit")
    ann.ask(403, "POST", "/v1/audit:verify")
    root.ask(200, "GET", "/v1/audit")
    root.ask(200, "POST", "/v1/audit:verify")


def passed_on(visitor):
    faults = []
    for service, paths in PASSED.items():
        spec = Spec(f"{API}/{service}.yaml", tells_limits=False)
        for path in paths:
            status, headers, text = visitor.send("GET", path)
            if status != 200:
                faults.append(f"GET {path}, passed on: {status}: {text[:300]!r}")
            spec.check(("GET", path), status, headers, text)
        faults += spec.faults
    return faults


def main():
    spec = Spec(f"{API}/dashboard.yaml", tells_limits=False, asks_for_keys=False)
    status = json.loads(run("status", "--json"))
    address = urllib.parse.urlsplit(next(s for s in status["services"] if s["name"].startswith("dashboard"))["url"]).netloc
    people_of = {"ann": "analyst,lead", "root": "admin", "audrey": "auditor", "rudi": "rule_author"}
    for name, roles in people_of.items():
        run("users", "add", name, "--roles", roles, given=PASSWORD + "\n")
    nobody = Visitor(spec, address)
    ann, root, auditor, author = (Visitor(spec, address, name) for name in people_of)
    count = make_cases(status)
    nobody.ask(401, "GET", "/v1/overview")
    ann.ask(200, "GET", "/v1/overview")
    cases(nobody, ann, auditor, author, count)
    views(nobody, ann)
    people(ann, root)
    spec.faults += passed_on(root)
    sessions(nobody, ann)
    ann.ask(204, "DELETE", "/v1/session")
    return spec.report(all_routes=False)


sys.exit(main())
