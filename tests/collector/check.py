#!/usr/bin/env python3
"""Checks the traces of Passbook with an OpenTelemetry Collector, which tests/collector builds.

Usage: tests/collector/check.py PASSBOOK. Sampled deposits, many at once, each have one trace from the request to the
views, which also links to the batches that the deposit was part of. No other request has a trace.
"""

import concurrent.futures
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "docs/generate"))
from pair import Pair  # noqa: E402
from running import free_port, until  # noqa: E402

sys.path.insert(0, str(ROOT / "tests/fixtures"))
from every_event import request  # noqa: E402

ACCOUNT = "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60"
DEPOSITS = 40
# The steps of a deposit after the request: name and kind of their spans.
STEPS = {"append": 1, "send": 4, "apply": 5}


def fail_unless(holds, what):
    if not holds:
        raise SystemExit(what)


@contextlib.contextmanager
def collector(work):
    """Runs a collector, and yields its port. It appends the spans to the file `spans` of the directory."""
    program = ROOT / "target/collector"
    subprocess.run(["go", "build", "-o", program, "."], cwd=HERE, check=True)
    port, config = free_port(), work / "collector.yaml"
    settings = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {"file": {"path": str(work / "spans")}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
    }
    # JSON is YAML.
    config.write_text(json.dumps(settings))
    with (work / "collector.log").open("w") as log:
        process = subprocess.Popen([program, config], stderr=log)

    def answers():
        fail_unless(process.poll() is None, (work / "collector.log").read_text())
        with socket.create_connection(("127.0.0.1", port)):
            return True

    try:
        until("the collector answers", answers)
        yield port
    finally:
        # Its end writes what it has received.
        process.terminate()
        process.wait()


def spans(file):
    """Returns the spans by trace id."""
    found = defaultdict(list)
    for line in file.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            names = [a["value"] for a in resource["resource"]["attributes"] if a["key"] == "service.name"]
            fail_unless(names == [{"stringValue": "passbook"}], f"service.name: {names}")
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    found[span["traceId"]].append(span)
    return found


def deposit(pair, sampled):
    """Makes a deposit in a new trace, and returns the trace id and the id of the sender's span."""
    trace, sender = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace}-{sender}-{'01' if sampled else '00'}"}
    path = f"/v1/accounts/{ACCOUNT}/deposits"
    status, answer, body = request(f"http://{pair.commands}", "POST", path, {"amount": 1}, headers)
    fail_unless(status == 201, f"{status}: {body}")
    given = answer.get("traceparent", "").split("-")
    fail_unless(given[1:2] == ([trace] if sampled else []), f"traceparent of the response: {given}")
    return trace, sender


def exercise(pair):
    body = {"account_id": ACCOUNT, "owner": "ada", "currency": "EUR"}
    status, answer, text = request(f"http://{pair.commands}", "POST", "/v1/accounts", body)
    fail_unless(status == 201 and "traceparent" not in answer, f"{status}: {text}: {answer}")
    with concurrent.futures.ThreadPoolExecutor(DEPOSITS) as senders:
        deposits = list(senders.map(lambda n: deposit(pair, n % 2 == 0), range(DEPOSITS)))
    read = f"/v1/accounts/{ACCOUNT}?min_version={DEPOSITS + 1}"
    fail_unless(request(f"http://{pair.views}", "GET", read)[0] == 200, "the views lack deposits")
    return dict(deposits[::2])


def linked(span):
    return {link["spanId"] for link in span.get("links", [])}


def check(traces, deposits):
    fail_unless(set(traces) == set(deposits), f"{len(traces)} traces of {len(deposits)} deposits")
    everything = {span["spanId"]: span for trace in traces.values() for span in trace}
    for trace, sender in deposits.items():
        by_name = {span["name"]: span for span in traces[trace]}
        served = by_name.get("POST /v1/accounts/{id}/deposits")
        fail_unless(served, f"no span of the request: {list(by_name)}")
        fail_unless(served["parentSpanId"] == sender and served["kind"] == 2, f"{served}")
        for step, kind in STEPS.items():
            span = by_name.get(step)
            fail_unless(span, f"no {step}: {list(by_name)}")
            fail_unless(span["parentSpanId"] == served["spanId"] and span["kind"] == kind, f"{span}")
            fail_unless(span["startTimeUnixNano"] <= span["endTimeUnixNano"], f"{span}")
            (batch,) = (everything[link] for link in linked(span))
            fail_unless(batch["name"] == f"{step} batch", f"{batch}")
            fail_unless(served["spanId"] in linked(batch), f"{step} batch has no link to its member")
        ends = [int(by_name[step]["endTimeUnixNano"]) for step in STEPS]
        fail_unless(ends[0] <= ends[2], f"a deposit is applied before it is appended: {ends}")
    batches = [span for span in everything.values() if span["name"] == "append batch"]
    fail_unless(len(batches) < len(deposits), "each deposit is appended alone")
    print(f"{len(traces)} traces of {len(everything)} spans, {len(batches)} batches appended")


def main(program):
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        with collector(work) as port:
            os.environ |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                # Only requests whose sender has sampled them.
                "OTEL_TRACES_SAMPLER_ARG": "0",
                # The end of Passbook exports the spans, and nothing before it.
                "OTEL_BSP_SCHEDULE_DELAY": "3600000",
            }
            with Pair(program) as pair:
                deposits = exercise(pair)
        check(spans(work / "spans"), deposits)


main(sys.argv[1])
