"""`prefect.yaml`, the Dockerfile and what they name exist, and neither holds a key. Workers and servers: test_work_pools.py."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from constants import KEY
from serving import ROOT
from vapi_sessions.operations.schedule_timing import Timing

PREFECT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: Instruction and arguments, with continued lines joined.
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def arguments(instruction: str) -> list[str]:
    """The arguments of each use of an instruction."""
    return [text for name, text in INSTRUCTIONS if name == instruction]


def copied() -> list[str]:
    """What the image gets of the checkout."""
    return [source for text in arguments("COPY") for source in text.split()[:-1]]


# -- prefect.yaml


def test_each_flow_has_a_deployment() -> None:
    """Its entry point is a flow object in `flows/`."""
    entries = [one["entrypoint"] for one in PREFECT["deployments"]]
    for entry in entries:
        path, _, name = entry.partition(":")
        assert name == f"{Path(path).stem}_flow"
        if (ROOT / path).exists():
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    flows = {path.name for path in (ROOT / "flows").glob("*.py") if "\n@flow" in path.read_text()}
    assert flows <= {Path(entry.split(":")[0]).name for entry in entries}


def test_each_schedule_is_one_that_prefect_accepts() -> None:
    """By the same rules as `vapi-sessions schedule`."""
    schedules = [schedule for one in PREFECT["deployments"] for schedule in one.get("schedules", [])]
    for schedule in schedules:
        interval = schedule.get("interval")
        Timing(
            every=interval and interval * 1_000_000,
            cron=schedule.get("cron"),
            zone=schedule.get("timezone", "UTC"),
        ).check()
    assert len(schedules) == len(PREFECT["deployments"]) - 1  # a backfill runs on demand


@pytest.mark.parametrize("pool", ["process", "docker", "kubernetes"])
def test_each_pool_gets_the_key_from_a_secret_block_when_it_runs(pool: str) -> None:
    """Only in a pull step: `prefect deploy` would replace it anywhere else, and Prefect would store the key."""
    infrastructure = PREFECT["definitions"][pool]
    assert infrastructure["work_pool"]["name"] == f"vapi-{pool}"
    secret = "{{ prefect.blocks.secret.vapi-api-key }}"
    assert "prefect.blocks" not in json.dumps(infrastructure["work_pool"])
    (environment,) = [step for step in infrastructure["pull"] if secret in json.dumps(step)]
    ((name, variables),) = environment.items()
    module, _, function = name.rpartition(".")
    assert (ROOT / "src" / Path(*module.split("."))).with_suffix(".py").is_file()
    assert function == "set_environment"
    assert set(variables) == {"VAPI_API_KEY", "VAPI_BASE_URL", "VAPI_WAREHOUSE"}


def test_the_step_sets_variables_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It returns nothing: Prefect passes on what a step returns, and could store it."""
    from vapi_sessions.operations.schedule_steps import set_environment
    from vapi_sessions.settings import load_settings

    monkeypatch.setenv("VAPI_API_KEY", "another")
    assert set_environment(VAPI_API_KEY=KEY) == {}
    assert load_settings().key().get_secret_value() == KEY


# -- Dockerfile


def test_the_image_copies_what_exists_and_is_sent_to_the_builder() -> None:
    """`.dockerignore` leaves out everything else, so no warehouse and no key file get into the image."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert "*" in rules
    assert len(copied()) > 3
    for source in copied():
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in sent), source
    assert set(sent) == set(copied())


def test_the_image_installs_locked_dependencies_with_hashes() -> None:
    """Each requirement has a version and at least one hash."""
    (install,) = [text for text in arguments("RUN") if "pip install" in text]
    lock = "requirements/product.txt"
    assert shlex.split(install)[-4:] == ["--no-deps", "--require-hashes", "--requirement", lock]
    text = (ROOT / lock).read_text().replace("\\\n", "")
    locked = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(locked) > 100
    assert [line for line in locked if "==" not in line or "--hash=sha256:" not in line] == []


def test_the_image_has_a_user_without_rights_a_volume_and_a_health_check() -> None:
    """In a small image, with nothing secret in its environment."""
    assert re.fullmatch(r"python:3\.\d+-slim", arguments("FROM")[0])
    assert arguments("USER") == ["10001"]
    names = [name for name, _ in INSTRUCTIONS]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    assert arguments("VOLUME") == ["/data"]
    assert "KEY" not in " ".join(arguments("ENV"))
    (check,) = arguments("HEALTHCHECK")
    assert 'CMD vapi-sessions status --max-age "$MAX_AGE"' in check


@pytest.mark.proof
def test_the_commands_of_the_image_run_with_what_it_copies(tmp_path: Path) -> None:
    """Compiled and started from the copied files alone, as the image does it."""
    app = tmp_path / "app"
    app.mkdir()
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, app / source, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        "PYTHONPATH": f"{app}/src:{app}",
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "VAPI_WAREHOUSE": str(tmp_path / "wh"),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("-m", "compileall", "-q", str(app / "src"), str(app / "flows")).returncode == 0
    ((_, *command),) = [json.loads(text) for text in arguments("CMD")]
    started = run("-m", "vapi_sessions", *command)
    assert (started.returncode, started.stderr.splitlines()[0]) == (2, "error: No API key.")
    where = run(
        "-c", "import vapi_sessions, flows.sync as s; print(vapi_sessions.__file__, s.__file__)"
    ).stdout.split()
    assert [Path(one).is_relative_to(app) for one in where] == [True, True]
    assert (
        run("-m", "vapi_sessions", "status", "--max-age", "2h").returncode == 2
    )  # nothing was published yet
    script = re.search(r"printf '(.*?)' > /usr/local/bin/vapi-sessions", DOCKERFILE)
    assert script is not None
    assert script[1].startswith(r"#!/usr/bin/env python\n")
    program = tmp_path / "vapi-sessions"  # the name that hints repeat
    program.write_text(script[1].replace(r"\n", "\n"))
    assert "Run vapi-sessions sync first" in run(str(program), "status").stderr.replace(
        f"{program}", program.name
    )
