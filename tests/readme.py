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
from containers import check_kafka, check_postgres, check_settings  # noqa: E402
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

# A container's program accepts exactly the certificate of its service. So do the launcher's subcommands, if they are
# given that certificate.
OPERATOR = """
service() { export TLS_CERT_FILE=secrets/$1/tls.crt TLS_KEY_FILE=secrets/$1/tls.key; }
[ ! -d secrets ] || case "$1" in
  restore) service command-service ;;
  replay | verify) service projection-service ;;
esac"""


def copied(source, target):
    target.parent.mkdir(exist_ok=True)
    shutil.copy(source, target)


def image(*arguments):
    subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL)


class Newcomer:
    """A shell, and the processes that its commands need; starts with the launcher."""

    def __init__(self, passbook, work, stack):
        self.passbook, self.work, self.stack = Path(passbook).resolve(), Path(work), stack
        self.command, self.projection, self.broker = free_port(), free_port(), free_port()
        self.launcher, self.output, self.outputs = None, "", ""
        # The place of the commands. In containers, a copy of what a clone has for them.
        self.place, self.clone = ROOT, self.work / "clone"
        programs = self.work / "bin"
        programs.mkdir()
        self.program(programs / "passbook", f'{OPERATOR}\nexec {self.passbook} "$@"')
        for service in ("command-service", "projection-service"):
            operator = service.replace("-service", "-operator")
            self.program(programs / service, f'exec docker compose run --rm --no-deps -T {operator} "$@"')
        self.program(programs / "cargo", 'while [ "$1" != -- ]; do shift; done; shift; exec passbook "$@"')
        self.use(f"{self.work}/data/auth")
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
            "PASSBOOK_TAG": f"readme-{os.getpid()}",
        }
        self.environment.pop("PASSBOOK_SECRETS", None)

    @staticmethod
    def program(path, command):
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)

    @staticmethod
    def use(key, authorities=None):
        """Sets the credentials of this program's own requests."""
        os.environ["PASSBOOK_KEY_FILE"] = key
        os.environ.pop("CURL_CA_BUNDLE", None)
        if authorities:
            os.environ["CURL_CA_BUNDLE"] = authorities

    @property
    def in_containers(self):
        return self.place == self.clone

    def url(self, port):
        return f"{'https' if self.in_containers else 'http'}://127.0.0.1:{port}"

    def here(self, text):
        """Returns the text with the ports and the directory of this run; in containers, changed as README.md says."""
        if self.in_containers:
            text = text.replace("http://127.0.0.1:", "https://127.0.0.1:")
            text = text.replace(".passbook/auth", "secrets/operator/auth")
            # The images are there, with programs that are already built.
            text = text.replace(" --build ", " ")
        text = text.replace(".passbook", f"{self.work}/data")
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self.command}").replace(
            "127.0.0.1:8081", f"127.0.0.1:{self.projection}"
        )

    def run(self, script, problems=0, stdin=subprocess.DEVNULL):
        """Runs a block. Exactly `problems` of its answers have to be problems."""
        shell = ["bash", "-euo", "pipefail", "-c", self.here(script)]
        environment = self.environment | {"PASSBOOK_KEY_FILE": os.environ["PASSBOOK_KEY_FILE"]}
        if self.in_containers:
            environment["CURL_CA_BUNDLE"] = "secrets/ca.pem"
        done = subprocess.run(shell, cwd=self.place, env=environment, capture_output=True, text=True, stdin=stdin)
        self.output = done.stdout
        self.outputs += done.stdout
        refused = [answer for answer in answers(done.stdout) if isinstance(answer, dict) and "code" in answer]
        if done.returncode or len(refused) != problems:
            raise SystemExit(f"{script}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")

    def launch(self, _=None, **more):
        self.place = ROOT
        self.use(f"{self.work}/data/auth")
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
            until("ready", lambda port=port: request(self.url(port), "GET", "/health/ready")[0] == 200)

    def compose(self, script):
        """Starts containers with images of programs that are already built, in a clone of somebody who is not root."""
        self.stop()
        self.clone.mkdir()
        for name in ("docker-compose.yml", "setup.yml", "docker", "setup/kafka-acls.txt"):
            (shutil.copytree if (ROOT / name).is_dir() else copied)(ROOT / name, self.clone / name)
        if os.getuid() == 0:
            os.chown(self.clone, 4711, 4711)
        for service in ("command-service", "projection-service"):
            context, tag = self.work / "image" / service, f"passbook-{service}:{self.environment['PASSBOOK_TAG']}"
            prebuilt(ROOT / "Dockerfile", service, self.passbook.parent / service, context)
            image("build", "--quiet", f"--tag={tag}", context)
            self.stack.callback(image, "rmi", "--force", tag)
        self.place = self.clone
        self.without_setup()
        self.stack.callback(self.docker, "down", "--volumes", "--timeout=1")
        self.run(script)
        if (self.clone / "secrets").stat().st_uid != self.clone.stat().st_uid:
            raise SystemExit("the secrets do not belong to the owner of the clone")
        self.use(f"{self.clone}/secrets/operator/auth", f"{self.clone}/secrets/ca.pem")
        check_settings(json.loads(self.docker("--profile", "operator", "config", "--format=json")))
        check_settings(json.loads(self.docker("-f", "setup.yml", "config", "--format=json")))
        check_postgres(self.execute, self.clone / "secrets")

    def without_setup(self):
        """Without setup, compose says what is missing."""
        done = self.compose_command("config")
        if done.returncode == 0 or "run `docker compose -f setup.yml run --rm setup` first" not in done.stderr:
            raise SystemExit(f"{done.returncode} {done.stderr}")

    def execute(self, container, command):
        done = self.compose_command("exec", "-T", container, "bash", "-c", command)
        return done.returncode, done.stdout + done.stderr

    def first_request(self, script):
        self.run(script)
        send_all(self.url(self.command))
        until("the relay has published", lambda: self.get("/admin/projection"))
        check_kafka(self.execute, self.clone / "secrets")

    def compose_command(self, *arguments):
        command = ["docker", "compose", *arguments]
        return subprocess.run(command, cwd=self.clone, env=self.environment, capture_output=True, text=True)

    def docker(self, *arguments):
        done = self.compose_command(*arguments)
        if done.returncode:
            raise SystemExit(f"docker compose {arguments}: {done.stderr}")
        return done.stdout

    def get(self, path):
        return json.loads(request(self.url(self.projection), "GET", path)[2])

    def events(self, account):
        return json.loads(request(self.url(self.command), "GET", f"/v1/accounts/{account}/events")[2])["data"]

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
        status, _, text = request(self.url(self.command), "POST", f"{path}/deposits", body)
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
        health = (self.url(self.command), "GET", "/health/ready")
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
        "curl --cacert secrets/ca.pem": first_request,
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
