"""A Passbook with an empty log: the launcher with its embedded Postgres and in-process broker."""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(DOCS.parent / "tests/fixtures"))
from every_event import request  # noqa: E402
from running import free_port, until  # noqa: E402

# The addresses that the pages name.
COMMANDS, VIEWS = "127.0.0.1:8080", "127.0.0.1:8081"


class Pair:
    """Runs the launcher on free ports until the end of the `with` block."""

    def __init__(self, program):
        self.program = Path(program).resolve()
        addresses = (f"127.0.0.1:{free_port()}" for _ in range(4))
        self.commands, self.views, *self.operators = addresses

    def __enter__(self):
        # The user that Postgres runs as has to reach the data directory.
        self.work = Path(tempfile.mkdtemp())
        self.work.chmod(0o755)
        self.data = self.work / "data"
        os.environ["PASSBOOK_KEY_FILE"] = str(self.data / "auth")
        addresses = {"COMMAND_ADDR": self.commands, "PROJECTION_ADDR": self.views}
        addresses |= dict(zip(("COMMAND_OPS_ADDR", "PROJECTION_OPS_ADDR"), self.operators))
        self.environment = {**os.environ, **addresses, "PASSBOOK_DATA_DIR": str(self.data)}
        self.process = subprocess.Popen(
            [self.program], env=self.environment, stdout=subprocess.DEVNULL
        )
        for address in (self.commands, self.views):
            until("Passbook is ready", lambda address=address: self.is_ready(address), 300)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.work)

    @staticmethod
    def is_ready(address):
        return request(f"http://{address}", "GET", "/health/ready")[0] == 200

    def here(self, text):
        """Replaces the addresses and the directory of the pages by those of this run."""
        text = text.replace(".passbook/", f"{self.data}/")
        return text.replace(COMMANDS, self.commands).replace(VIEWS, self.views)

    def there(self, text):
        """Replaces the addresses of this run by those of the pages."""
        return text.replace(self.commands, COMMANDS).replace(self.views, VIEWS)

    def get(self, address, path):
        return json.loads(request(f"http://{address}", "GET", path)[2])

    def sql(self, statement):
        """Runs a statement on the log as the administrator of the embedded Postgres."""
        secret = json.loads((self.data / "postgres-secrets.json").read_text())["admin"]
        port = (self.data / "postgres/data/postmaster.pid").read_text().splitlines()[3]
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))
        psql = programs[-1] if programs else "psql"
        arguments = [
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            port,
            "-U",
            "passbook_admin",
            "-d",
            "passbook_command",
        ]
        subprocess.run(
            [psql, *arguments, "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={**os.environ, "PGPASSWORD": secret},
            check=True,
        )
