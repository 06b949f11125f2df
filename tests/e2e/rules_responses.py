#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the rules service what docs/api/rules.yaml documents about rule sets and lists, and checks each answer against its
schema (openapi.py): of each route that is asked here, every documented status. Backtests are asked by their own tests.

Usage: rules_responses.py SPEC HOME, where HOME holds a cluster that is up, and that this may do anything to."""
import json
import os
import subprocess
import sys
import urllib.parse

from openapi import Spec, send

SPEC, HOME = sys.argv[1:]
ONE = "/v1/rulesets/{version}"
LIST = "/v1/lists/{list}"
DOCUMENT = {"rules": [{"id": "large", "when": "tx.amount > 100000", "action": "review", "reason": "a large amount"}]}
WRONG = {"rules": [{"id": "large", "when": "tx.amount >", "action": "review"}]}


def run(*words):
    return subprocess.run([os.environ["ASSAY"], *words, "--home", HOME], check=True, stdout=subprocess.PIPE, text=True).stdout


class Rules:
    def __init__(self, spec):
        self.spec = spec
        status = json.loads(run("status", "--json"))
        service = next(s for s in status["services"] if s["name"] == "rules")
        self.address = urllib.parse.urlsplit(service["url"]).netloc
        key = ["keys", "create", "rulers", "--scopes", "admin", "--quiet", "--owner"]
        self.keys = {owner: run(*key, owner).strip() for owner in ("ann", "bob")}

    def ask(self, expected, method, template, body=None, query="", who="ann", **names):
        path = template.format(**{name: urllib.parse.quote(str(value), safe="") for name, value in names.items()}) + query
        status, headers, text = send(self.address, method, path, {"Authorization": f"Bearer {self.keys[who]}"}, body)
        if status != expected:
            self.spec.faults.append(f"{method} {path}: {status} where {expected} was expected: {text[:300]!r}")
        self.spec.check((method, template), status, headers, text)
        return json.loads(text) if text and "json" in headers.get("content-type", "") else None


def rule_sets(r):
    made = r.ask(201, "POST", "/v1/rulesets", {"document": DOCUMENT, "note": "a test"})
    version = made["version"]
    r.ask(422, "POST", "/v1/rulesets", {"document": WRONG})
    r.ask(200, "POST", "/v1/rulesets:check", {"document": WRONG})
    r.ask(200, "GET", "/v1/rulesets:names")
    r.ask(200, "GET", "/v1/rulesets")
    r.ask(200, "GET", ONE, version=version)
    r.ask(404, "GET", ONE, version=999999)
    edited = r.ask(200, "PUT", ONE, {"document": DOCUMENT, "revision": made["revision"]}, version=version)
    r.ask(409, "PUT", ONE, {"document": DOCUMENT, "revision": made["revision"]}, version=version)
    other = r.ask(201, "POST", "/v1/rulesets", {"document": DOCUMENT})
    r.ask(409, "DELETE", ONE, query="?revision=99", version=other["version"])
    r.ask(204, "DELETE", ONE, query=f"?revision={other['revision']}", version=other["version"])
    r.ask(200, "GET", ONE + ":diff", query=f"?with={version}", version=version)
    change = {"revision": edited["revision"]}
    r.ask(200, "POST", ONE + ":shadow", change, version=version)
    r.ask(403, "POST", ONE + ":publish", {}, version=version)
    r.ask(200, "POST", ONE + ":publish", {}, who="bob", version=version)
    r.ask(409, "POST", ONE + ":publish", {}, who="bob", version=version)
    r.ask(409, "POST", ONE + ":shadow", {}, version=version)
    r.ask(200, "GET", ONE + ":serving", version=version)
    r.ask(200, "GET", ONE + ":history", version=version)
    r.ask(404, "POST", "/v1/rulesets:rollback", {"version": 999999}, who="bob")
    r.ask(409, "POST", "/v1/rulesets:rollback", {"expected": 999999}, who="bob")
    r.ask(200, "POST", "/v1/rulesets:rollback", {}, who="bob")
    draft = r.ask(201, "POST", "/v1/rulesets", {"document": DOCUMENT})
    r.ask(409, "POST", ONE + ":retire", {}, version=draft["version"])
    r.ask(200, "POST", ONE + ":shadow", {}, version=draft["version"])
    r.ask(200, "POST", ONE + ":retire", {}, version=draft["version"])


def lists(r):
    r.ask(201, "POST", "/v1/lists", {"list": "told", "field": "card_id", "note": "a test"})
    r.ask(409, "POST", "/v1/lists", {"list": "told", "field": "card_id"})
    r.ask(200, "GET", "/v1/lists")
    r.ask(200, "GET", LIST, list="told")
    r.ask(404, "GET", LIST, list="nobody")
    r.ask(200, "POST", LIST + "/entries:preview", {"values": ["k-1", "k-1", "k-2"]}, list="told")
    r.ask(200, "POST", LIST + "/entries:add", {"values": ["k-1", "k-2"], "note": "a test"}, list="told")
    r.ask(422, "POST", LIST + "/entries:add", {"values": "k-1"}, list="told")
    r.ask(200, "GET", LIST + "/entries", list="told")
    r.ask(200, "POST", LIST + "/entries:remove", {"values": ["k-1"]}, list="told")
    r.ask(200, "GET", LIST + "/changes", list="told")
    r.ask(204, "DELETE", LIST, list="told")


def main():
    spec = Spec(SPEC, tells_limits=False)
    run("accounts", "create", "rulers")
    rules = Rules(spec)
    rule_sets(rules)
    lists(rules)
    return spec.report(all_routes=False)


sys.exit(main())
