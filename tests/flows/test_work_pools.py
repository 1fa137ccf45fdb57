"""`prefect.yaml` and docs/deployments.md with a real Prefect server and a real worker of a process work pool."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vapi_sessions
from constants import KEY
from documents import blocks
from serving import ROOT, asked, environment
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
PREFECT = str(Path(sys.executable).with_name("prefect"))
SECRET = f"from prefect.blocks.system import Secret; Secret(value={KEY!r}).save('vapi-api-key')"


#: In docs/deployments.md, in this order. The last one does not end; the tests let a worker run once.
COMMANDS = (
    ".venv/bin/prefect work-pool create vapi-process --type process",
    ".venv/bin/prefect deploy --all",
    ".venv/bin/prefect worker start --pool vapi-process --limit 1",
)


class Pool:
    """A process work pool with the deployments of `prefect.yaml` for one warehouse."""

    def __init__(self, warehouse: Path, url: str, variables: dict[str, str]) -> None:
        self.warehouse, self.url = warehouse, url
        self.api = variables["PREFECT_API_URL"]
        self._variables = variables

    def run(self, *command: str, **more: str) -> str:
        """The output of a command, which succeeds."""
        done = subprocess.run(
            command, cwd=ROOT, env=self._variables | more, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def work(self, **more: str) -> str:
        """Execute what is due, with a worker that ends then."""
        return self.run(PREFECT, "worker", "start", "--pool", "vapi-process", "--run-once", **more)

    def states(self) -> dict[str, str]:
        """The last run of each deployment: its state."""
        ended = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}
        found = {}
        for one in asked(self.api, "deployments", {"work_pools": {"name": {"any_": ["vapi-process"]}}}):
            which = {"deployment_id": {"any_": [one["id"]]}, "state": ended}
            for run in asked(self.api, "flow_runs", {"flow_runs": which, "sort": "START_TIME_DESC"})[:1]:
                found[f"{one['entrypoint']} {one['name']}"] = (
                    f"{run['state']['name']}: {run['state']['message']}"
                )
        return found

    def sessions(self) -> int:
        with vapi_sessions.connect(self.warehouse) as db:
            ((count,),) = db.execute("SELECT count(*) FROM sessions").fetchall()
            return int(count)


@pytest.fixture(scope="module")
def pool(prefect_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Made with the commands of docs/deployments.md; a test has its own address of the source, and its own warehouse."""
    home = tmp_path_factory.mktemp("pool")
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG})) as source:
        until = source.store.now_us()
        fill(source.store, History(org_id=DEFAULT_ORG, sessions=30, days=5, seed=3, until_us=until))
        variables = environment(source, **prefect_server, PWD=str(ROOT))
        for name in ("VAPI_API_KEY", "VAPI_BASE_URL"):  # they come from the secret block and the file
            del variables[name]
        made = Pool(home / "warehouse", source.url, variables)
        shown = [line for _, text in blocks("bash", "docs/deployments.md") for line in text.splitlines()]
        assert set(COMMANDS) <= set(shown)
        assert any("Secret(value=" in line for line in shown)
        text = (ROOT / "prefect.yaml").read_text()
        for ours, theirs in (
            ("https://api.vapi.ai", source.url),
            ("{{ $PWD }}/warehouse", str(made.warehouse)),
        ):
            assert ours in text
            text = text.replace(ours, theirs)
        (home / "prefect.yaml").write_text(text)
        create, deploy, _ = (line.split()[1:] for line in COMMANDS)
        made.run(PREFECT, *create)
        made.run(sys.executable, "-c", SECRET)
        made.run(PREFECT, *deploy, "--prefect-file", str(home / "prefect.yaml"))
        yield made


def test_a_worker_runs_a_deployment_of_prefect_yaml(pool: Pool) -> None:
    """Its run gets the key from the secret block."""
    pool.run(PREFECT, "deployment", "run", "vapi-sessions sync/main")
    printed = pool.work()
    assert pool.states()["flows/sync.py:sync_flow main"].startswith("Completed"), printed
    assert pool.sessions() == 30


def test_every_flow_is_deployed(pool: Pool) -> None:
    """All but the backfill with a schedule, and without a limit of Prefect, which can block a deployment for ever."""
    found = asked(pool.api, "deployments", {"deployments": {"name": {"any_": ["main"]}}})
    assert {one["entrypoint"].split(":")[0] for one in found} == {
        f"flows/{name}.py" for name in ("sync", "reconcile", "maintain", "backfill")
    }
    assert {one["entrypoint"] for one in found if not one["schedules"]} == {"flows/backfill.py:backfill_flow"}
    assert {one["global_concurrency_limit"] for one in found} == {None}


def test_a_deployment_from_python_runs_too(pool: Pool) -> None:
    """The block in docs/deployments.md, with a warehouse of the test. The key comes from the worker's environment."""
    ((_, code),) = blocks("py", "docs/deployments.md")
    assert "/srv/warehouse" in code
    pool.run(sys.executable, "-c", code.replace("/srv/warehouse", str(pool.warehouse)))
    pool.run(PREFECT, "deployment", "run", "vapi-sessions sync/from-python")
    printed = pool.work(VAPI_API_KEY=KEY, VAPI_BASE_URL=pool.url)
    assert pool.states()["flows/sync.py:sync_flow from-python"].startswith("Completed"), printed


def test_prefect_does_not_store_the_key_of_a_work_pool(pool: Pool, prefect_server: dict[str, str]) -> None:
    """Neither in the deployments nor in its database, where the block is encrypted."""
    assert KEY not in str(asked(pool.api, "deployments", {}))
    assert "prefect.blocks.secret.vapi-api-key" in str(asked(pool.api, "deployments", {}))
    files = [path for path in Path(prefect_server["PREFECT_HOME"]).rglob("*") if path.is_file()]
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []
