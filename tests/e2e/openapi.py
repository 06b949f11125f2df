#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An OpenAPI document as a judge of answers: each must have a status that is documented for its route, the documented media
type, a body that satisfies the schema (JSON Schema 2020-12, as OpenAPI 3.1 has it) and headers that satisfy theirs.

  openapi.py DOCUMENT...    tells members without a value and those of OpenAPI 3.0, outside examples; status 1 when there are any"""
import http.client
import json
import re
import sys

import jsonschema
import yaml

RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")

formats = jsonschema.FormatChecker()


@formats.checks("date-time")
def is_time(value):
    return not isinstance(value, str) or RFC3339.fullmatch(value) is not None


def send(address, method, path, headers, body=None):
    """One request over HTTP/1.1; body is sent as JSON, or as it is when it is bytes. (status, headers, bytes)

    A header that came more than once has its values on lines of their own."""
    headers = dict(headers)
    if body is not None and not isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
        body = json.dumps(body).encode()
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    got = {}
    for name, value in response.getheaders():
        got[name.lower()] = f"{got[name.lower()]}\n{value}" if name.lower() in got else value
    answer = response.status, got, response.read()
    connection.close()
    return answer


class Spec:
    """The document, its references resolved where they are followed."""

    def __init__(self, path, tells_limits=True, asks_for_keys=True):
        """`tells_limits`: a 429 says when to come again, as it does to callers with a rate. `asks_for_keys`: a 401 says how to
        authenticate; a page with a log-in of its own does not, or browsers would ask."""
        self.tells_limits, self.asks_for_keys = tells_limits, asks_for_keys
        with open(path, encoding="utf-8") as file:
            self.document = yaml.safe_load(file)
        self.resolver = jsonschema.RefResolver("", self.document)
        self.seen = set()
        self.faults = []

    def follow(self, node):
        while isinstance(node, dict) and "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def documented(self):
        return {(method.upper(), path, int(status))
                for path, methods in self.document["paths"].items()
                for method, operation in methods.items() if method != "parameters"
                for status in operation["responses"] if status != "default"}

    def satisfies(self, schema, value, where):
        validator = jsonschema.Draft202012Validator(schema, resolver=self.resolver, format_checker=formats)
        for error in validator.iter_errors(value):
            at = "/".join(str(step) for step in error.absolute_path)
            self.faults.append(f"{where}: {at}: {error.message[:300]}")

    def check(self, route, status, headers, body):
        method, path = route
        where = f"{method} {path} {status}"
        responses = self.document["paths"][path][method.lower()]["responses"]
        if str(status) not in responses and (status < 400 or "default" not in responses):
            self.faults.append(f"{where}: not documented; the answer was {body[:300]!r}")
            return
        self.seen.add((method, path, status))
        response = self.follow(responses.get(str(status)) or responses["default"])
        if "content" not in response:
            if body:
                self.faults.append(f"{where}: a body where none is documented")
            return
        media = headers.get("content-type", "")
        if media not in response["content"]:
            self.faults.append(f"{where}: content type {media!r}")
            return
        self.satisfies(response["content"][media]["schema"], json.loads(body), where)
        for name, header in response.get("headers", {}).items():
            schema = self.follow(header)["schema"]
            value = headers.get(name.lower())
            if value is not None:
                self.satisfies(schema, int(value) if schema["type"] == "integer" else value, f"{where}: {name}")
        for name in {401: ["www-authenticate"] if self.asks_for_keys else [], 429: ["retry-after", "ratelimit"] if self.tells_limits else [], 503: ["retry-after"]}.get(status, []):
            if name not in headers:
                self.faults.append(f"{where}: no {name}")

    def report(self, all_routes=True):
        """Prints what was wrong and what was never seen; 1 when anything was. Without `all_routes` a route that nobody asked
        is no fault: other tests do."""
        asked = {(method, path) for method, path, _ in self.seen}
        for method, path, status in sorted(self.documented() - self.seen):
            if all_routes or (method, path) in asked:
                self.faults.append(f"{method} {path} {status}: documented, and never seen")
        for fault in self.faults:
            print(fault)
        return 1 if self.faults else 0


def faulty_members(node, place=""):
    if isinstance(node, dict):
        for name, value in node.items():
            if value is None:
                yield f"{place}/{name} has no value"
            elif name == "nullable" and isinstance(value, bool):
                yield f"{place}/{name} means nothing in OpenAPI 3.1"
            elif name not in ("example", "examples"):
                yield from faulty_members(value, f"{place}/{name}")
    elif isinstance(node, list):
        for at, each in enumerate(node):
            yield from faulty_members(each, f"{place}/{at}")


def main(paths):
    faults = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            faults += [f"{path}: {fault}" for fault in faulty_members(yaml.safe_load(file))]
    print("\n".join(faults), end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
