#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Provokes every response that docs/api/retrainer.yaml documents, and checks each against its schema (openapi.py).

Usage: retrainer_responses.py SPEC HOME, where HOME holds a cluster that is up, with two versions of one name, the second
promoted after the first, that decided some payments of an account on a simulated clock; this may do anything to it."""
import http.client
import json
import os
import subprocess
import sys
import urllib.parse

from openapi import Spec

SPEC, HOME = sys.argv[1:]
RUNS, RUN = "/v1/retraining-runs", "/v1/retraining-runs/{run}"
SCHEDULES, SCHEDULE = "/v1/retraining-schedules", "/v1/retraining-schedules/{name}"
EXPERIMENTS, EXPERIMENT = "/v1/experiments", "/v1/experiments/{experiment}"
MODELS, MODEL = "/v1/models", "/v1/models/{name}"
WHOLE = "?days=3650&mature_days=0"


def run(*words):
    return subprocess.run([os.environ["ASSAY"], *words, "--home", HOME], check=True, capture_output=True, text=True).stdout


class Retrainer:
    def __init__(self, spec):
        self.spec = spec
        status = json.loads(run("status", "--json"))
        self.database = status["pg_url"]
        self.address = urllib.parse.urlsplit(next(s for s in status["services"] if s["name"] == "retrainer")["url"]).netloc
        run("accounts", "create", "owner")
        self.key = run("keys", "create", "owner", "--scopes", "admin", "--quiet").strip()

    def ask(self, expected, method, template, body=None, query="", key=True, **names):
        path = template.format(**names)
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}"} if key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path + query, body=None if body is None else json.dumps(body), headers=headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status not in (expected if isinstance(expected, tuple) else (expected,)):
            self.spec.faults.append(f"{method} {path}{query}: {response.status} where {expected} was expected: {text[:300]!r}")
        self.spec.check((method, template), response.status, {n.lower(): v for n, v in response.getheaders()}, text)
        return response.status, json.loads(text) if text else None

    def sql(self, text):
        return subprocess.run(["psql", "-qXAtd", self.database, "-v", "ON_ERROR_STOP=1", "-c", text], check=True,
                              capture_output=True, text=True).stdout.strip()


def runs(r):
    r.ask(422, "POST", RUNS, {"name": "other", "settings": {"trials": 0}})
    for _ in range(50):  # the one that waits may have begun by the time of the second request
        one = r.ask((202, 200), "POST", RUNS, {"name": "other", "reason": "a test", "settings": {"trials": 1000}})[1]
        r.ask((200, 409), "POST", RUN + ":cancel", {}, run=one["run"])
        r.sql("INSERT INTO training_runs (name, cause, requested_by) VALUES ('held', 'request', 'test') ON CONFLICT DO NOTHING")
        if r.ask((202, 200), "POST", RUNS, {"name": "held"})[0] == 200:
            break
    r.ask(200, "GET", RUNS)
    r.ask(400, "GET", RUNS, query="?limit=0")
    ended = r.sql("INSERT INTO training_runs (name, cause, requested_by, state, ended_at, message) VALUES ('gone', 'drift', "
                  "'test', 'failed', now(), 'a test') RETURNING run")
    r.ask(200, "GET", RUN, run=ended)
    r.ask(404, "GET", RUN, run=999999)
    r.ask(409, "POST", RUN + ":cancel", {}, run=ended)
    r.ask(404, "POST", RUN + ":cancel", {}, run=999999)


def schedules(r):
    r.ask(401, "GET", SCHEDULES, key=False)
    r.ask(200, "PUT", SCHEDULE, {"cron": "30 3 * * mon", "zone": "Europe/Berlin", "settings": {"trials": 20}}, name="other")
    r.ask(422, "PUT", SCHEDULE, {"cron": "61 3 * * mon"}, name="other")
    r.ask(200, "GET", SCHEDULES)
    r.ask(204, "DELETE", SCHEDULE, name="other")
    r.ask(404, "DELETE", SCHEDULE, name="other")


def experiments(r, name, champion, candidate):
    one = r.sql("INSERT INTO experiments (name, stage, champion, candidate, share, design, progress, started_at) VALUES "
                f"('{name}', 'ab', {champion}, {candidate}, 0.1, '{{\"planned_rows\": 100}}', '{{}}', now()) RETURNING experiment")
    r.sql(f"INSERT INTO verdicts (version, experiment, stage, gate, outcome, reason, evidence, at) VALUES ({candidate}, {one}, 'ab', "
          "'net_loss', 'inconclusive', 'a test', '{\"z\": 1}', now())")
    r.ask(401, "GET", EXPERIMENTS, key=False)
    r.ask(200, "GET", EXPERIMENTS)
    r.ask(200, "GET", EXPERIMENT, experiment=one)
    r.ask(404, "GET", EXPERIMENT, experiment=999999)
    r.ask(200, "POST", EXPERIMENT + ":stop", {}, experiment=one)
    r.ask(409, "POST", EXPERIMENT + ":stop", {}, experiment=one)
    r.ask(404, "POST", EXPERIMENT + ":stop", {}, experiment=999999)


def registry(r, name, before, champion):
    version = MODEL + "/versions/{version}"
    r.ask(200, "GET", MODELS)
    r.ask(400, "GET", MODELS, query="?before=x")
    r.ask(200, "GET", version, name=name, version=champion)
    r.ask(404, "GET", version, name=name, version=999999)
    told = r.ask(200, "GET", MODEL + ":compare", name=name, query=f"{WHOLE}&challenger={before}")[1]
    if not told["rows"]:
        r.spec.faults.append("nothing was compared")
    r.ask(400, "GET", MODEL + ":compare", name=name, query="?days=x")
    r.ask(404, "GET", MODEL + ":compare", name=name, query="?challenger=999999")
    r.sql("INSERT INTO control_slices (account, share, amount_most, amount_per_day, key) VALUES (0, 0.1, 50000, 1000000, "
          "decode(repeat('00', 16), 'hex'))")
    r.ask(200, "GET", "/v1/control-slice")
    told = r.ask(200, "GET", "/v1/control-slice", query=WHOLE)[1]
    if not told["report"]:
        r.spec.faults.append("the slice tells nothing")
    r.ask(400, "GET", "/v1/control-slice", query="?mature_days=-1")


def changes(r, name, before, champion):
    promote, back = MODEL + ":promote", MODEL + ":rollback"
    r.ask(404, "POST", back, {}, name="none")
    r.ask(409, "POST", back, {"expected": 999999}, name=name)
    r.ask(200, "POST", back, {"expected": champion, "reason": "a test"}, name=name)
    r.ask(404, "POST", promote, {"version": 999999}, name=name)
    r.ask(409, "POST", promote, {"version": champion, "expected": champion}, name=name)
    r.ask(200, "POST", promote, {"version": champion, "expected": before, "reason": "a test"}, name=name)


def main():
    spec = Spec(SPEC, tells_limits=False)
    r = Retrainer(spec)
    name, champion = r.sql("SELECT name || ' ' || version FROM aliases WHERE alias = 'champion'").split()
    before = r.sql("SELECT version FROM aliases WHERE alias = 'previous_champion'")
    registry(r, name, int(before), int(champion))
    experiments(r, name, champion, before)
    schedules(r)
    runs(r)
    changes(r, name, int(before), int(champion))
    return spec.report()


sys.exit(main())
