#!/usr/bin/env python3
"""Runs the commands of the pages in their order, as a newcomer would: against the launcher, and from the chapter on
containers on against docker compose. Each command must succeed, and its answer must contain the answer that is shown.

Usage: readme.py PASSBOOK; the services' programs are in the same directory. Needs Docker with compose.
"""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "fixtures"))
from answers import answers, differs, shape  # noqa: E402
from every_event import BUSY, EVE, appended, request, send_all  # noqa: E402
from images import prebuilt  # noqa: E402
from running import free_port, until  # noqa: E402

ROOT = HERE.parent
# The pages, with the languages of the blocks that are run; all of README and REPLAY.
PAGES = {
    "README.md": ("sh", "json", ""),
    "docs/REPLAY.md": ("sh", "json", ""),
    "docs/EVENTS.md": ("python",),
    "docs/BENCHMARK.md": ("sh",),
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Newcomer:
    """A shell, and the processes that its commands need; starts with the launcher."""

    def __init__(self, passbook, work, stack):
        self.passbook, self.work, self.stack = Path(passbook).resolve(), Path(work), stack
        self.command, self.projection, self.broker = free_port(), free_port(), free_port()
        self.launcher, self.output, self.outputs = None, "", ""
        programs = self.work / "bin"
        programs.mkdir()
        self.program(programs / "passbook", f'exec {self.passbook} "$@"')
        for service in ("command-service", "projection-service"):
            operator = service.replace("-service", "-operator")
            self.program(programs / service, f'exec docker compose run --rm -T {operator} "$@"')
        self.program(programs / "cargo", 'while [ "$1" != -- ]; do shift; done; shift; exec passbook "$@"')
        os.environ["PASSBOOK_KEY_FILE"] = f"{self.work}/data/auth"
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "COMMAND_ADDR": f"127.0.0.1:{self.command}",
            "PROJECTION_ADDR": f"127.0.0.1:{self.projection}",
            "COMMAND_OPS_ADDR": "127.0.0.1:0",
            "PROJECTION_OPS_ADDR": "127.0.0.1:0",
            "COMMAND_PORT": str(self.command),
            "PROJECTION_PORT": str(self.projection),
            "COMPOSE_PROJECT_NAME": f"readme-{os.getpid()}",
            "COMPOSE_FILE": f"{ROOT / 'docker-compose.yml'}:{self.work / 'compose.json'}",
        }

    @staticmethod
    def program(path, command):
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)

    def here(self, text):
        """Returns the text with the ports and the directory of this run."""
        text = text.replace(".passbook", f"{self.work}/data")
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self.command}").replace(
            "127.0.0.1:8081", f"127.0.0.1:{self.projection}"
        )

    def run(self, script, problems=0, stdin=subprocess.DEVNULL):
        """Runs a block. Exactly `problems` of its answers have to be problems."""
        shell = ["bash", "-euo", "pipefail", "-c", self.here(script)]
        done = subprocess.run(shell, cwd=ROOT, env=self.environment, capture_output=True, text=True, stdin=stdin)
        self.output = done.stdout
        self.outputs += done.stdout
        refused = [answer for answer in answers(done.stdout) if isinstance(answer, dict) and "code" in answer]
        if done.returncode or len(refused) != problems:
            raise SystemExit(f"{script}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")

    def launch(self, _=None, **more):
        arguments = [self.passbook, f"--data-dir={self.work / 'data'}"]
        self.launcher = subprocess.Popen(arguments, env=self.environment | more, stdout=subprocess.DEVNULL)
        self.stack.callback(self.stop)
        self.ready()

    def stop(self):
        if self.launcher and self.launcher.poll() is None:
            self.launcher.terminate()
            self.launcher.wait()

    def ready(self):
        for port in (self.command, self.projection):
            until("ready", lambda port=port: request(f"http://127.0.0.1:{port}", "GET", "/health/ready")[0] == 200)

    def compose(self, script):
        """Starts containers from the services' own Dockerfiles, with programs that are already built."""
        self.stop()
        image = self.work / "image"
        for service in ("command-service", "projection-service"):
            prebuilt(ROOT / service / "Dockerfile", self.passbook.parent / service, image / service)
        (self.work / "compose.json").write_text("{}")
        config = json.loads(self.docker("--profile", "operator", "config", "--format=json"))
        built = {name: {"build": {"context": str(image)}} for name, service in config["services"].items() if "build" in service}
        (self.work / "compose.json").write_text(json.dumps({"services": built}))
        self.stack.callback(self.docker, "down", "--volumes", "--rmi=local", "--timeout=1")
        self.run(script)

    def copy_key(self, script):
        self.run(script)
        send_all(f"http://127.0.0.1:{self.command}")

    def docker(self, *arguments):
        done = subprocess.run(["docker", "compose", *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"docker compose {arguments}: {done.stderr}")
        return done.stdout

    def get(self, path):
        return json.loads(request(f"http://127.0.0.1:{self.projection}", "GET", path)[2])

    def events(self, account):
        return json.loads(request(f"http://127.0.0.1:{self.command}", "GET", f"/v1/accounts/{account}/events")[2])["data"]

    def replays(self, script):
        self.run(script)
        until("all replays have ended", lambda: all(replay["ended_at"] for replay in self.get("/admin/replays")["data"]))

    def reset(self, script):
        before = len(self.get("/admin/replays")["data"])
        self.replays(script)
        until("the reset was noticed", lambda: len(self.get("/admin/replays")["data"]) == before + 1)
        if self.get("/admin/replays")["data"][0]["from"] != "beginning":
            raise SystemExit(f"not a full replay: {self.get('/admin/replays')}")

    def quarantine(self, script):
        """Quarantines an event of an unknown type first; its retry is refused."""
        event = appended(EVE, len(self.events(EVE)) + 1, "MoneyBurnt", "{}")
        self.docker("exec", "-T", "postgres", "psql", "-q", "-U", "postgres", "-d", "passbook_command", "-c", event)
        until("an event is in quarantine", lambda: self.get("/admin/quarantine")["data"])
        number = self.get("/admin/quarantine")["data"][0]["id"]
        self.run(script.replace("/quarantine/7/", f"/quarantine/{number}/"), problems=1)

    def restore(self, script):
        """Restores a log first that lacks a deposit which the topic and the views have."""
        path = f"/v1/accounts/{BUSY}"
        before = self.get(path)
        self.docker("stop", "command-service")
        self.sql("CREATE DATABASE backup TEMPLATE passbook_command")
        self.docker("start", "command-service")
        self.ready()
        body = {"amount": 77}
        status, _, text = request(f"http://127.0.0.1:{self.command}", "POST", f"{path}/deposits", body)
        if status != 201:
            raise SystemExit(text)
        until("the view has the deposit", lambda: self.get(path)["version"] == before["version"] + 1)
        self.docker("stop", "command-service")
        for statement in [
            "DROP DATABASE passbook_command",
            "CREATE DATABASE passbook_command TEMPLATE backup OWNER passbook_owner",
            "REVOKE ALL ON DATABASE passbook_command FROM PUBLIC",
            "GRANT CONNECT ON DATABASE passbook_command TO passbook_command",
        ]:
            self.sql(statement)
        self.docker("start", "command-service")
        health = (f"http://127.0.0.1:{self.command}", "GET", "/health/ready")
        until("the fork is noticed", lambda: request(*health)[0] == 503 and "partition" in request(*health)[2])
        # The command asks only if its input is a terminal.
        keyboard, terminal = pty.openpty()
        os.write(keyboard, b"y\n")
        self.run(script, stdin=terminal)
        os.close(terminal)
        os.close(keyboard)
        self.ready()
        until("the view is as the log", lambda: {**self.get(path), "position": ""} == {**before, "position": ""})

    def sql(self, statement):
        self.docker("exec", "-T", "postgres", "psql", "-q", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement)

    def another_program(self, program):
        """Runs a program that never ends, until it has printed the events of the first account."""
        python = self.work / "python"
        requirements = HERE / "consumers/python/requirements.txt"
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        subprocess.run([python / "bin/pip", "install", "--quiet", "--no-deps", "-r", requirements], check=True)
        self.docker("stop")
        self.launch(BROKER_PORT=str(self.broker))
        program = program.replace("127.0.0.1:9092", f"127.0.0.1:{self.broker}")
        arguments = [python / "bin/python", "-u", "-c", program]
        reading = subprocess.Popen(["timeout", "60", *arguments], stdout=subprocess.PIPE, text=True)
        records = [reading.stdout.readline() for _ in range(2)]
        reading.terminate()
        reading.wait()
        self.stop()
        if not all("application/cloudevents+json" in record and '"specversion":"1.0"' in record for record in records):
            raise SystemExit(f"{program}\n{records}")

    def bench(self, script):
        self.run(f"{script.strip()} append --seconds 1 >/dev/null")

    def compare(self, script):
        # The program with itself, and the shortest of the benchmarks.
        script = script.strip().replace("OLD NEW http latency --rounds 3", f"{self.passbook} {self.passbook} append --rounds 1")
        self.run(script.replace("--seconds 5", "--seconds 1") + " >/dev/null")

    # Methods that run a block which contains the text; any other block is run as it is.
    RULES = {
        "cargo run --release\n": launch,
        # The tests are a step of CI of their own.
        "cargo test --workspace\n": lambda *_: None,
        "docker compose up --build --wait\n": compose,
        "/operator/auth ": copy_key,
        "passbook replay ": replays,
        "docker compose stop projection-service\n": reset,
        "/admin/quarantine/7/": quarantine,
        "restore accept": restore,
        "cargo run --release -- bench\n": bench,
        "passbook bench compare ": compare,
    }


def follow(newcomer, language, text):
    if language == "sh":
        rule = next((rule for rule in newcomer.RULES if rule in text), None)
        started = time.monotonic()
        newcomer.RULES[rule](newcomer, text) if rule else newcomer.run(text)
        print(f"{time.monotonic() - started:5.1f} s  {text.splitlines()[0]}", flush=True)
    elif language == "python":
        newcomer.another_program(text)
    elif language == "json":
        shown = answers(text)
        given = answers(newcomer.output)[-len(shown) :]
        if reason := differs("answer", given, shown):
            raise SystemExit(f"{text}\n{reason}")
    else:
        if "passbook verify" in (before := newcomer.before) and "differences\n" in text:
            newcomer.run("passbook verify")
        said = {shape(line) for line in newcomer.outputs.splitlines()}
        for line in newcomer.here(text).splitlines():
            if shape(line) not in said:
                raise SystemExit(f"nothing said: {line}\n{newcomer.outputs[-2000:]}{before[-200:]}")


def main(passbook):
    # Postgres's own user has to get in.
    work = tempfile.mkdtemp()
    os.chmod(work, 0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, work)
        newcomer, count = Newcomer(passbook, work, stack), 0
        for page, languages in PAGES.items():
            text, end = (ROOT / page).read_text(), 0
            for block in BLOCK.finditer(text):
                newcomer.before, end = text[end : block.start()], block.end()
                if block[1] in languages:
                    follow(newcomer, block[1], block[2])
                    count += 1
    print(f"{count} passed, 0 failed")


main(sys.argv[1])
