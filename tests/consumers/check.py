#!/usr/bin/env python3
"""Reads the topic from Apache Kafka with the CloudEvents SDKs for Java, JavaScript, Go and Python.

Each must see every event of the log once, and reject none. The Python consumer also checks every
record by the topic's AsyncAPI document.

Usage: check.py PASSBOOK. Needs Docker, Maven with Java 17, Node 20, Go 1.24 and Python 3.11 with venv.
"""

import concurrent.futures
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "fixtures"))
from every_event import request, send_all  # noqa: E402
from running import Passbook, kafka, until  # noqa: E402

TOPIC = "passbook.events"
CONTENT_TYPE = "application/cloudevents+json"


def run(*command, cwd=None):
    environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout}\n{done.stderr}")
    return done.stdout


def java(work):
    run("mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={work}/java", cwd=HERE / "java")
    return ["java", "-cp", f"{work}/java/*", HERE / "java/Consume.java"]


def javascript(work):
    shutil.copytree(HERE / "javascript", f"{work}/javascript")
    run("npm", "ci", "--ignore-scripts", "--silent", cwd=f"{work}/javascript")
    return ["node", f"{work}/javascript/consume.js"]


def go(work):
    run("go", "build", "-o", f"{work}/go", ".", cwd=HERE / "go")
    return [f"{work}/go"]


def python(work):
    run(sys.executable, "-m", "venv", f"{work}/python")
    run(f"{work}/python/bin/pip", "install", "--quiet", "--no-deps", "-r", HERE / "python/requirements.txt")
    return [f"{work}/python/bin/python", HERE / "python/consume.py", f"{work}/asyncapi.json"]


def read_log(command):
    """Returns the log's events by id, and the store's id."""
    events, store, partition, partitions = {}, None, 0, 1
    while partition < partitions:
        status, headers, text = request(command, "GET", f"/v1/events?partition={partition}&after=0&limit=1000")
        page = json.loads(text)
        if status != 200 or page["has_more"]:
            raise SystemExit(f"partition {partition} of the log: {status}: {text[:1000]}")
        store, partitions = headers["x-store-id"], int(headers["x-partitions"])
        partition += 1
        events.update((event["event_id"], event) for event in page["data"])
    return events, store


def milliseconds(time):
    return int(datetime.fromisoformat(time).timestamp() * 1_000_000) // 1_000


def difference(line, event, store):
    """Returns the first difference between a record and the log's event, or None."""
    partition, position = (int(part) for part in event["position"].split("-"))
    if "rejected" in line:
        return line["rejected"]
    recorded_at = milliseconds(event["recorded_at"])
    expected = {
        "partition": partition,
        "offset": position - 1,
        "timestamp": recorded_at,
        "id": event["event_id"],
        "source": f"/passbook/{store}",
        "type": event["type"],
        "subject": event["account_id"],
        "storeid": store,
        "position": str(position),
        "version": str(event["version"]),
        "data": event["data"],
    }
    for name, value in expected.items():
        if line[name] != value:
            return f"{name} is {line[name]!r}, not {value!r}"
    if milliseconds(line["time"]) != recorded_at:
        return f"time is {line['time']}, not {event['recorded_at']}"
    published_at = int(line["headers"]["published-at"])
    if line["headers"]["content-type"] != CONTENT_TYPE or not recorded_at <= published_at <= time.time() * 1_000:
        return f"its headers are {line['headers']}"
    return None


def check(name, command, brokers, events, store):
    lines = [json.loads(line) for line in run(*command, brokers, TOPIC).splitlines()]
    by_place = {event["position"]: event for event in events.values()}
    for line in lines:
        event = by_place.get(f"{line['partition']}-{line['offset'] + 1}")
        reason = difference(line, event, store) if event else "it is not in the log"
        if reason:
            raise SystemExit(f"{name}: {line}: {reason}")
    if len(lines) != len(events):
        raise SystemExit(f"{name}: {len(lines)} records, {len(events)} events")
    print(f"{name}: {len(lines)} events read, 0 rejected", flush=True)


def main(passbook):
    # Postgres's own user must be able to enter.
    work = tempfile.mkdtemp()
    os.chmod(work, 0o755)
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor() as pool:
        stack.callback(shutil.rmtree, work)
        consumers = {sdk.__name__: pool.submit(sdk, work) for sdk in (java, javascript, go, python)}
        brokers = stack.enter_context(kafka())
        running = stack.enter_context(Passbook(passbook, work, brokers))
        send_all(running.command)
        events, store = read_log(running.command)
        Path(f"{work}/asyncapi.json").write_text(request(running.command, "GET", "/asyncapi.json")[2])
        until("the views have applied the log", lambda: running.applied() == len(events))
        for name, command in consumers.items():
            check(name, command.result(), brokers, events, store)
    print(f"{len(consumers)} passed, 0 failed")


main(os.path.abspath(sys.argv[1]))
