"""Runs the commands of a page in their order, in one shell, and writes their answers below them.

A block ```sh is a command. A block ```json or ```text right after it is its answer, which is
replaced. A block ```sql runs as the administrator of the log's database.
"""

import re
import subprocess
from datetime import datetime, timedelta, timezone

BLOCK = re.compile(
    r"^```(sh|sql)\n(.*?)^```\n(\n```(json|text)\n.*?^```\n)?", re.MULTILINE | re.DOTALL
)
ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
END = "the end of the answer"
# Longest line of an answer.
WIDTH = 100
DAY = datetime(2026, 11, 27, 9, tzinfo=timezone.utc)


class Stable:
    """Replaces what changes from run to run: random ids, and times of the run."""

    def __init__(self, page):
        self.kept, self.began = set(ID.findall(page)), datetime.now(timezone.utc)
        self.known = {}

    def text(self, answer):
        times = {time for time in TIME.findall(answer) if self.is_of_run(time)} - set(self.known)
        # In their own order, which does not depend on the order of the fields.
        for time in sorted(times):
            number = sum(TIME.match(known) is not None for known in self.known)
            moment = DAY + timedelta(seconds=number)
            self.known[time] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for found in ID.findall(answer):
            if found not in self.kept and found not in self.known:
                number = sum(ID.match(known) is not None for known in self.known) + 1
                self.known[found] = f"01a20d7f-7b12-72eb-93d7-{number:012d}"
        for volatile, stable in self.known.items():
            answer = answer.replace(volatile, stable)
        return answer

    def is_of_run(self, time):
        moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
        return abs(moment - self.began) < timedelta(hours=12)


class Shell:
    """One bash for all commands, so that variables last."""

    def __init__(self, pair):
        self.pair = pair
        self.bash = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=pair.environment | {"PATH": f"{pair.work}:{pair.environment['PATH']}"},
            text=True,
        )
        program = pair.work / "passbook"
        program.write_text(f'#!/bin/sh\nexec {pair.program} "$@"\n')
        program.chmod(0o755)

    def run(self, script):
        """Returns what the commands of a block print."""
        self.bash.stdin.write(f"{self.pair.here(script)}\nprintf '\\n%s\\n' '{END}'\n")
        self.bash.stdin.flush()
        lines = []
        while (line := self.bash.stdout.readline()).rstrip("\n") != END:
            if not line:
                raise SystemExit(f"{script}\nfailed after:\n{''.join(lines)}")
            lines.append(line)
        return self.pair.there("".join(lines)).strip("\n")


def refreshed(path, pair):
    """Returns the page with the answers of this run."""
    page = path.read_text()
    shell, stable = Shell(pair), Stable(page)

    def block(match):
        language, script, answer, kind = match.groups()
        if language == "sql":
            pair.sql(script)
            return match[0]
        said = stable.text(shell.run(script))
        if too_long := [line for line in said.splitlines() if len(line) > WIDTH]:
            raise SystemExit(f"{script}\nlines of more than {WIDTH} characters: {too_long}")
        if (said != "") != (answer is not None):
            raise SystemExit(f"{script}\nhas to be followed by an answer, or none: {said}")
        command = f"```{language}\n{script}```\n"
        return command if answer is None else f"{command}\n```{kind}\n{said}\n```\n"

    return BLOCK.sub(block, page)
