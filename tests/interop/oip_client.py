# SPDX-License-Identifier: Apache-2.0
"""Scores rows with the client library of Triton, which speaks the Open Inference Protocol v2 over REST.

Usage: oip_client.py PORT MODEL"""
import sys

import numpy
import tritonclient.http as oip

port, model = sys.argv[1:3]
client = oip.InferenceServerClient(f"127.0.0.1:{port}")
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert client.get_server_metadata()["name"]
metadata = client.get_model_metadata(model)
names = [tensor["name"] for tensor in metadata["inputs"]]
rows = 5
values = numpy.random.default_rng(1).random((rows, len(names)), dtype=numpy.float32) * 100
values[2, :] = numpy.nan  # nothing is known of this one


def infer(columns):
    inputs = []
    for name, column in columns:
        inputs.append(oip.InferInput(name, list(column.shape), "FP32"))
        inputs[-1].set_data_from_numpy(column, binary_data=False)
    outputs = [oip.InferRequestedOutput(name, binary_data=False) for name in ("score", "margin")]
    answer = client.infer(model, inputs, outputs=outputs, request_id="r-1")
    assert answer.get_response()["id"] == "r-1" and answer.get_response()["model_version"]
    return answer.as_numpy("score"), answer.as_numpy("margin")


known = values[[0, 1, 3, 4]]
scores, margins = infer([(name, numpy.ascontiguousarray(known[:, at])) for at, name in enumerate(names)])
assert scores.shape == (4,) and margins.shape == (4,)
assert ((scores > 0) & (scores < 1)).all()
order = numpy.argsort(margins)
assert (numpy.diff(scores[order]) >= 0).all(), "the calibration keeps the order"
one_score, one_margin = infer([(name, numpy.ascontiguousarray(known[1:2, at])) for at, name in enumerate(names)])
assert one_margin[0] == margins[1] and one_score[0] == scores[1], "a row alone is scored as among others"
try:
    client.infer("no-such-model", [oip.InferInput("x", [1], "FP32").set_data_from_numpy(numpy.zeros(1, numpy.float32), binary_data=False)])
    raise AssertionError("a model that is not there was scored with")
except oip.InferenceServerException as error:
    assert "no-such-model" in str(error), error
print(f"{len(names)} features, {rows - 1} rows")
