#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Provokes every response that docs/api/openapi.yaml documents, and checks each against its schema.

Usage: responses.py SPEC HOME, where HOME holds a cluster that is up, with a champion and rules, and that this may
do anything to. Each check is one request; what comes back must have a status that is documented for the route, the
documented media type, a body that satisfies the schema (JSON Schema 2020-12, as OpenAPI 3.1 has it) and headers
that satisfy theirs. In the end every documented pair of route and status must have been seen."""
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

from openapi import Spec


class Api:
    def __init__(self, spec, host, port):
        self.spec, self.host, self.port = spec, host, port

    def ask(self, expected, route, key, body=None, id=None, headers=None):
        """One request; `expected` is the status that it should have. None is about how fast the machine is."""
        method, template = route
        path = template.replace("{transaction_id}", urllib.parse.quote(id or "", safe=""))
        fields = {"Content-Type": "application/json"} if method == "POST" else {}
        if key:
            fields["Authorization"] = f"Bearer {key}"
        if route in (ONE, MANY):
            fields["Assay-Deadline-Ms"] = "5000"
        fields.update(headers or {})
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body=body if body is None or isinstance(body, (str, bytes)) else json.dumps(body),
                               headers=fields)
            response = connection.getresponse()
            text = response.read()
            answer = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        if response.status != expected:
            self.spec.faults.append(f"{method} {path}: {response.status} where {expected} was expected: {text[:300]!r}")
        self.spec.check(route, response.status, answer, text)
        return json.loads(text)


ONE = ("POST", "/v1/transactions")
MANY = ("POST", "/v1/transactions:batch")
GET = ("GET", "/v1/transactions/{transaction_id}")
LABEL = ("POST", "/v1/labels")
LABELS = ("POST", "/v1/labels:batch")


def moment(**ago):
    return (datetime.now(timezone.utc) - timedelta(**ago)).isoformat(timespec="milliseconds")


def transaction(id, **members):
    return {"transaction_id": id, "occurred_at": moment(seconds=1), "amount": 1999, "currency": "EUR",
            "customer_id": "c-1", "merchant_id": "m-1", **members}


def label(id, **members):
    return {"transaction_id": id, "is_fraud": True, "source": "chargeback", "labelled_at": moment(seconds=1), **members}


class Cluster:
    def __init__(self, home):
        self.home = home
        self.assay = os.environ["ASSAY"]
        status = json.loads(self.run("status", "--json"))
        self.database = status["pg_url"]
        self.services = {service["name"]: service for service in status["services"]}

    def run(self, *words):
        done = subprocess.run([self.assay, *words, "--home", self.home], check=True, capture_output=True, text=True)
        return done.stdout

    def key(self, account, scopes, *more):
        return self.run("keys", "create", account, "--scopes", scopes, "--quiet", *more).strip()

    def sql(self, text):
        subprocess.run(["psql", "-qXd", self.database, "-v", "ON_ERROR_STOP=1", "-c", text], check=True,
                       capture_output=True, text=True)

    def measure(self, service, series):
        """The value of a series of a service's metrics."""
        with urllib.request.urlopen(self.services[service]["admin_url"] + "/metrics", timeout=30) as response:
            for line in response.read().decode().splitlines():
                if line.startswith(series + " "):
                    return float(line.rpartition(" ")[2])
        raise LookupError(f"{service} has no {series}")

    def signal(self, pids, number):
        for pid in pids:
            os.kill(pid, number)


def sound(api, all_scopes, decide):
    """What goes well, with all that an answer may hold."""
    api.ask(200, ONE, all_scopes, transaction("t-1"))
    api.ask(200, ONE, decide, transaction("t-1b", card_id="tok_1", country="DE", channel="ecommerce",
                                          attributes={"basket_size": 3, "is_gift": False, "coupon": "X"}))
    api.ask(200, ONE, all_scopes, transaction("t-large", amount=500000000))
    api.ask(200, ONE, decide, transaction("t-larger", amount=500000000))
    api.ask(200, ONE, all_scopes, transaction("t-key"), headers={"Idempotency-Key": '"k-1"'})
    again = transaction("t-key2")
    api.ask(200, ONE, all_scopes, again, headers={"Idempotency-Key": "k-2"})
    api.ask(200, ONE, all_scopes, again, headers={"Idempotency-Key": "k-2"})
    api.ask(200, MANY, all_scopes, {"transactions": [transaction("b-1"), transaction("b-2", amount=-5), {}]})
    api.ask(200, GET, all_scopes, id="t-1")
    api.ask(200, GET, all_scopes, id="t-large")
    api.ask(200, LABEL, all_scopes, label("t-1"))
    api.ask(202, LABEL, all_scopes, label("never-seen"))
    api.ask(200, LABELS, all_scopes, {"labels": [label("t-1"), label("t-1", is_fraud=7), label("unseen")]})


def refused(api, all_scopes, decide, only_read):
    """What the caller did wrong."""
    posts = {ONE: lambda: transaction("r-1"), MANY: lambda: {"transactions": [transaction("r-2")]},
             LABEL: lambda: label("t-1"), LABELS: lambda: {"labels": [label("t-1")]}}
    for route, body in posts.items():
        api.ask(400, route, all_scopes, "{")
        api.ask(401, route, None, body())
        api.ask(401, route, "ak_00000000_" + "a" * 32, body())
        api.ask(403, route, only_read, body())
        api.ask(413, route, all_scopes, '{"a": "' + "x" * (4 << 20) + '"}')
        api.ask(415, route, all_scopes, body(), headers={"Content-Type": "text/plain"})
        api.ask(422, route, all_scopes, {"nonsense": 1})
        used = f"used-{route[1]}"
        api.ask(200, route, all_scopes, body(), headers={"Idempotency-Key": used})
        api.ask(422, route, all_scopes, {"nonsense": 1}, headers={"Idempotency-Key": used})
    api.ask(422, ONE, all_scopes, transaction("r-3", card_id="4111111111111111"))
    api.ask(409, ONE, all_scopes, transaction("t-1", amount=1))
    api.ask(401, GET, None, id="t-1")
    api.ask(403, GET, decide, id="t-1")
    api.ask(404, GET, all_scopes, id="no-such")


def limited(api, slow):
    """A rate of one a second, used up; every answer of such a key tells what is left."""
    for route, body in ((ONE, transaction("l-1")), (MANY, {"transactions": [transaction("l-2")]}), (GET, None),
                        (LABEL, label("t-1")), (LABELS, {"labels": [label("t-1")]})):
        for _ in range(20):
            connection = http.client.HTTPConnection(api.host, api.port, timeout=30)
            connection.request(route[0], route[1].replace("{transaction_id}", "t-1"),
                               body=body and json.dumps(body),
                               headers={"Authorization": f"Bearer {slow}", "Content-Type": "application/json"})
            status = connection.getresponse().status
            connection.close()
            if status == 429:
                break
        api.ask(429, route, slow, body, id="t-1")


def poisoned(api, cluster, all_scopes):
    """Rows that PostgreSQL refuses, and one that it gives back broken."""
    cluster.sql("ALTER TABLE decisions ADD CONSTRAINT poison CHECK (transaction_id <> 'poison') NOT VALID")
    cluster.sql("ALTER TABLE labels ADD CONSTRAINT poison CHECK (transaction_id <> 'poison') NOT VALID")
    cluster.sql("ALTER TABLE outbox ADD CONSTRAINT poison CHECK (id <> 'poison') NOT VALID")
    api.ask(500, ONE, all_scopes, transaction("poison"), headers={"Assay-Deadline-Ms": "20000"})
    api.ask(500, LABEL, all_scopes, label("poison"))
    cluster.sql("UPDATE decisions SET record = '\\xff' WHERE transaction_id = 't-large'")
    api.ask(500, GET, all_scopes, id="t-large")


def in_flight(api, cluster, all_scopes):
    """409 while the first request with an Idempotency-Key is under way: features is held up meanwhile."""
    features = [cluster.services["features"]["pid"]]
    for number, (status, route, body) in enumerate([
            (200, ONE, transaction("f-1")), (200, MANY, {"transactions": [transaction("f-2")]}),
            (202, LABEL, label("t-1", source="issuer")), (200, LABELS, {"labels": [label("t-1", source="analyst")]})]):
        headers = {"Assay-Deadline-Ms": "20000", "Idempotency-Key": f"held-{number}"}
        first = threading.Thread(target=lambda: api.ask(status, route, all_scopes, body, headers=headers))
        cluster.signal(features, signal.SIGSTOP)
        try:
            first.start()
            time.sleep(0.2)
            api.ask(409, route, all_scopes, body, headers=headers)
            first.join()
        finally:
            cluster.signal(features, signal.SIGCONT)
            first.join()
        time.sleep(1)  # features is asked again


def without_database(api, cluster, all_scopes):
    """504 for what is under way when PostgreSQL stops answering, then 503.

    Features holds the first one up, so that it has been begun for certain: what has not been by its deadline is
    refused with 503. Half of its deadline later it goes on without features, and asks PostgreSQL, which is given two
    seconds: more than is left of the deadline, and then it counts as missing for another one."""
    keeper = cluster.services["postgres"]["pid"]
    stopped = [cluster.services["features"]["pid"]]
    first = threading.Thread(target=lambda: api.ask(504, ONE, all_scopes, transaction("s-1"),
                                                    headers={"Assay-Deadline-Ms": "3000"}))
    cluster.signal(stopped, signal.SIGSTOP)
    try:
        first.start()
        while cluster.measure("ingestion", 'assay_ingestion_admission_under_way{work="decide"}') < 1:
            time.sleep(0.01)
        stopped.append(keeper)
        cluster.signal([keeper], signal.SIGSTOP)
        with open(f"/proc/{keeper}/task/{keeper}/children", encoding="ascii") as file:
            children = [int(child) for child in file.read().split()]
        stopped += children
        cluster.signal(children, signal.SIGSTOP)
        first.join()
        api.ask(503, ONE, all_scopes, transaction("s-2"))
        api.ask(503, GET, all_scopes, id="t-1")
        api.ask(503, LABEL, all_scopes, label("t-1"))
        for route, body in ((MANY, {"transactions": [transaction("s-3")]}), (LABELS, {"labels": [label("t-1")]})):
            api.ask(503, route, all_scopes, body, headers={"Idempotency-Key": "needs-the-database"})
    finally:
        cluster.signal(stopped, signal.SIGCONT)
        first.join()


def main():
    spec = Spec(sys.argv[1])
    cluster = Cluster(sys.argv[2])
    url = urllib.parse.urlsplit(cluster.services["ingestion"]["url"])
    api = Api(spec, url.hostname, url.port)
    cluster.run("accounts", "create", "shop")
    all_scopes, decide, only_read = (cluster.key("shop", scopes) for scopes in ("all", "decide", "read"))
    cluster.run("accounts", "create", "slow")
    slow = cluster.key("slow", "all", "--rate", "1")

    sound(api, all_scopes, decide)
    refused(api, all_scopes, decide, only_read)
    limited(api, slow)
    poisoned(api, cluster, all_scopes)
    in_flight(api, cluster, all_scopes)
    without_database(api, cluster, all_scopes)

    return spec.report()


sys.exit(main())
