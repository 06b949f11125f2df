# SPDX-License-Identifier: Apache-2.0
"""Walks one transaction over the internal contracts with a client that Google's library generates from shared/proto.

Usage: grpc_client.py STATUS STUBS: the JSON of `assay status`, and a folder for the generated code."""
import hashlib
import json
import math
import os
import struct
import sys
import time

import grpc
from grpc_tools import protoc

status_file, stubs = sys.argv[1:3]
os.makedirs(stubs, exist_ok=True)
assert protoc.main(["", "-Ishared/proto", f"--python_out={stubs}", f"--grpc_python_out={stubs}",
                    "shared/proto/assay.proto", "shared/proto/health.proto"]) == 0
sys.path.insert(0, stubs)
import assay_pb2 as pb  # noqa: E402
import assay_pb2_grpc as rpc  # noqa: E402
import health_pb2  # noqa: E402
import health_pb2_grpc  # noqa: E402

with open(status_file, encoding="utf-8") as file:
    port = {service["name"]: service["port"] for service in json.load(file)["services"] if service["is_ready"]}


def channel(name, **options):
    return grpc.insecure_channel(f"127.0.0.1:{port[name]}", **options)


def refused(call, code):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        assert error.details(), "a refusal says why"
        return
    raise AssertionError(f"not refused with {code}")


features, scoring, rules = channel("features"), channel("scoring"), channel("rules")
for each in (features, scoring, rules):
    answer = health_pb2_grpc.HealthStub(each).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING

now_us = time.time_ns() // 1000
payment = pb.Transaction(account=1, id=f"grpc-{now_us}", occurred_at_us=now_us, known_at_us=now_us, amount_minor=1999,
                         amount_base_minor=1999, currency="USD", customer_id="c-grpc", merchant_id="m-1")
item = pb.ComputeRequest.Item(transaction=payment, body_hash=hashlib.sha256(b"one").digest())
compute = rpc.FeaturesStub(features).Compute
first = compute(pb.ComputeRequest(items=[item]), timeout=10)
again = compute(pb.ComputeRequest(items=[item]), timeout=10)
item.body_hash = hashlib.sha256(b"another").digest()
other = compute(pb.ComputeRequest(items=[item]), timeout=10)
assert first.items[0].status == pb.ComputeResponse.ADDED and first.items[0].n > 0
assert again.items[0].status == pb.ComputeResponse.KNOWN and again.items[0].vector == first.items[0].vector
assert other.items[0].status == pb.ComputeResponse.CONFLICT

vector = first.items[0].vector
values = struct.unpack(f"<{len(vector) // 4}f", vector)
assert len(values) > 10 and any(not math.isnan(value) for value in values)

score = rpc.ScoringStub(scoring).Score
scored = score(pb.ScoreRequest(plan=first.plan, rows=[pb.ScoreRequest.Row(vector=vector)] * 3), timeout=10)
assert len(scored.rows) == 3 and len(scored.models) == 1
assert 0 < scored.rows[0].score < 1 and scored.rows[0].contributions and scored.rows[0] == scored.rows[2]

decided = rpc.RulesStub(rules).Decide(pb.DecideRequest(plan=first.plan, items=[pb.DecideRequest.Item(
    transaction=payment, vector=vector, has_score=True, score=scored.rows[0].score,
    thresholds=scored.models[0].thresholds)]), timeout=10)
assert len(decided.items) == 1 and decided.items[0].reasons

refused(lambda: compute(pb.ComputeRequest(items=[pb.ComputeRequest.Item(transaction=payment)]), timeout=10),
        grpc.StatusCode.INVALID_ARGUMENT)
refused(lambda: score(pb.ScoreRequest(plan=b"short", rows=[pb.ScoreRequest.Row(vector=vector)]), timeout=10),
        grpc.StatusCode.INVALID_ARGUMENT)
refused(lambda: score(pb.ScoreRequest(plan=bytes(32), rows=[pb.ScoreRequest.Row(vector=vector)]), timeout=10),
        grpc.StatusCode.NOT_FOUND)
refused(lambda: features.unary_unary("/assay.v1.Features/Nonsense")(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)
# What cannot be parsed is INTERNAL by gRPC's own table (statuscodes.md).
refused(lambda: features.unary_unary("/assay.v1.Features/Compute")(b"\xff\xff\xff", timeout=10),
        grpc.StatusCode.INTERNAL)
# A client that compresses is told that this server does not.
refused(lambda: rpc.FeaturesStub(channel("features", compression=grpc.Compression.Gzip)).Compute(
    pb.ComputeRequest(items=[item] * 50), timeout=10), grpc.StatusCode.UNIMPLEMENTED)
print(f"{len(values)} features, score {scored.rows[0].score:.6f}")
