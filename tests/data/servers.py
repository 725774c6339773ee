"""Real servers for tests: MLflow's and PostgreSQL's."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, log, is_up, **options):
    """Keeps a server and its children up."""
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)
    try:
        for _ in range(600):
            if is_up() or process.poll() is not None:
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # killed by a test
            os.killpg(process.pid, signal.SIGQUIT)  # at once: MLflow takes ten seconds to end in peace
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # what a script starts in the background ignores that signal
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def mlflow_server(store, folder, port=None):
    """Starts an MLflow server on a store. Gives its address."""
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"

    def is_up():
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
        except OSError:
            return False
        return True

    command = ["mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri", store]
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # which triples the time to start
    with running([sys.executable, "-m", *command], folder / "log", is_up, cwd=folder, env=variables):
        yield address


@contextlib.contextmanager
def postgresql():
    """Starts a database server, as another user where this one is root, whom it refuses. Gives a database's address."""
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    user = who.get("user") or pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp())  # not pytest's, which nobody else may enter
    shutil.chown(folder, user)
    try:
        initdb = [POSTGRESQL.with_name("initdb"), "-D", folder / "data", "-A", "trust", "-U", "lab", "--no-sync"]
        subprocess.run([*initdb, "-E", "UTF8", "--locale=C"], cwd=folder, check=True, capture_output=True, **who)
        address = ["-h", "127.0.0.1", "-p", str(free_port())]
        ready = [POSTGRESQL.with_name("pg_isready"), *address, "-q"]
        command = [POSTGRESQL, "-D", folder / "data", *address, "-k", "", "-c", "fsync=off"]
        with running(command, folder / "log", lambda: subprocess.run(ready).returncode == 0, cwd=folder, **who):
            yield f"postgresql+psycopg://lab@127.0.0.1:{address[-1]}/postgres"
    finally:
        shutil.rmtree(folder)
