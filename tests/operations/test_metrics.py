"""The metrics: parsed by Prometheus' own parser, written after each run, and used by the sample alerts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from documents import ROOT
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import SourceRefusedError, WarehouseBusyError, WarehouseError
from vapi_sessions.operations import metrics
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.maintain import maintain
from vapi_sessions.operations.metrics import METRICS, Ended, text
from vapi_sessions.operations.rebuild import rebuild
from vapi_sessions.warehouse import suppression
from vapi_sessions.warehouse.layout import Layout, writer_lock
from worlds import RecordedProgress, World

ALERTS = ROOT / "docs" / "examples" / "prometheus-alerts.yml"
Labels = frozenset[tuple[str, str]]


def parsed(content: str) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and its labels but `warehouse`; each metric comes once, with a type and a text."""
    found: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(content):
        assert family.type in ("gauge", "counter")
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset((sample.labels | {"warehouse": ""}).items()))
            assert key not in found
            found[key] = sample.value
    return found


def of(name: str, **labels: str) -> tuple[str, Labels]:
    """The key of a sample."""
    return f"vapi_sessions_{name}", frozenset({**labels, "warehouse": ""}.items())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The file of the metrics."""
    return tmp_path / "vapi.prom"


def test_each_run_writes_its_metrics(world: World, target: Path) -> None:
    """Rows, sizes, lag, counters and the last run; after a refused run also, with its exit code and the last success."""
    world.insert(12, lambda n: (world.ago(hours=3) + n * SECOND,) * 2, newField=1)
    world.sync(metrics_file=target)
    first = parsed(target.read_text())
    assert first[of("rows", table="sessions")] == 12
    assert first[of("rows", table="messages")] == 12
    assert first[of("lag_seconds")] == pytest.approx(
        world.clock.us() / 1e6 - first[of("watermark_timestamp_seconds")]
    )
    assert first[of("size_bytes", part="raw")] > 0
    assert first[of("sessions_new_total")] == 12
    assert first[of("drift_rows_total")] == 12
    assert first[of("requests_total")] >= 2
    assert first[of("last_run_success", command="sync")] == 1
    assert first[of("last_run_exit_code", command="sync")] == 0
    assert first[of("runs_total", command="sync", outcome="done")] == 1
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path for path in target.parent.iterdir() if path.suffix != ".prom" and path.is_file()] == []

    world.clock.forward(hours=1)
    with pytest.raises(SourceRefusedError):
        world.sync(metrics_file=target, api_key="refused")
    after = parsed(target.read_text())
    assert after[of("last_run_success", command="sync")] == 0
    assert after[of("last_run_exit_code", command="sync")] == 3
    assert after[of("lag_seconds")] == first[of("lag_seconds")] + 3600
    success = of("last_success_timestamp_seconds", command="sync")
    assert after[success] == pytest.approx(first[success])
    assert after[of("last_run_timestamp_seconds", command="sync")] == world.clock.us() / 1e6
    assert after[of("requests_total")] > first[of("requests_total")]


def test_maintain_rebuild_and_forget_write_their_metrics(
    world: World, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and sizes are those after the run. A dry run of forget writes nothing."""
    monkeypatch.setattr(suppression, "COST", (2, 8, 1))
    world.insert(3, lambda n: (world.ago(hours=3) + n * SECOND,) * 2)
    world.sync()
    settings, environment = world.settings(metrics_file=target), world.environment()
    (gone, *_) = world.server.store.ids(world.server.org_id)
    forget(settings, Whom([gone]), dry_run=True, environment=environment)
    assert not target.exists()
    forget(settings, Whom([gone]), environment=environment)
    found = parsed(target.read_text())
    assert (found[of("rows", table="sessions")], found[of("last_run_success", command="forget")]) == (2, 1)
    rebuild(world.warehouse, metrics_file=target, environment=environment)
    found = parsed(target.read_text())
    assert found[of("last_run_success", command="rebuild")] == 1
    assert found[of("last_run_timestamp_seconds", command="rebuild")] == world.clock.us() / 1e6
    maintain(settings, environment=environment)
    found = parsed(target.read_text())
    assert found[of("runs_total", command="maintain", outcome="done")] == 1
    assert found[of("last_run_success", command="maintain")] == 1


@pytest.mark.proof
def test_a_maintenance_that_fails_is_shown_until_one_succeeds(
    world: World, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the next sync, which writes the file again."""

    def fail(*given: object, **named: object) -> None:
        raise WarehouseError("The disk is full.")

    world.insert(1, lambda n: (world.ago(hours=3),) * 2)
    world.sync()
    settings, environment = world.settings(metrics_file=target), world.environment()
    with monkeypatch.context() as patch:
        patch.setattr("vapi_sessions.operations.maintain.merge_small_files", fail)
        with pytest.raises(WarehouseError):
            maintain(settings, environment=environment)
    success = of("last_run_success", command="maintain")
    found = parsed(target.read_text())
    assert (found[success], found[of("last_run_exit_code", command="maintain")]) == (0, 5)
    world.sync(metrics_file=target)
    assert parsed(target.read_text())[success] == 0
    maintain(settings, environment=environment)
    assert parsed(target.read_text())[success] == 1


def test_the_duration_of_a_run_has_its_publication(world: World, target: Path) -> None:
    """In `sync.runs`, and in metrics that another run writes later."""

    class Slow(RecordedProgress):
        def publishing(self, done: int, total: int) -> None:
            world.clock.forward(hours=1)

    world.insert(1, lambda n: (world.ago(hours=3),) * 2)
    world.sync(progress=Slow())
    ((duration,),) = world.rows("SELECT epoch(finished_at - started_at) FROM sync.runs")
    assert duration >= 3600
    maintain(world.settings(metrics_file=target), environment=world.environment())
    assert parsed(target.read_text())[of("last_run_duration_seconds", command="sync")] == duration


def test_a_first_run_that_fails_writes_its_metrics(world: World, target: Path) -> None:
    """There is no warehouse yet; the file is what an alert needs."""
    ended = Ended("sync", world.clock.us(), world.clock.us(), SourceRefusedError("No."))
    found = parsed(metrics.current(world.warehouse, now=world.clock.us(), ended=ended))
    assert found[of("last_run_success", command="sync")] == 0
    assert found[of("last_run_exit_code", command="sync")] == 3
    assert of("last_success_timestamp_seconds", command="sync") not in found


def test_metrics_that_cannot_be_written_are_a_warning(world: World, tmp_path: Path) -> None:
    """The run succeeds."""
    progress = RecordedProgress()
    world.sync(metrics_file=tmp_path / "nowhere" / "vapi.prom", progress=progress)
    (warning,) = [line for line in progress.said if "metrics" in line]
    assert warning.startswith("warning: the metrics file ")
    assert "No such file or directory" in warning


def test_a_run_that_finds_the_warehouse_locked_leaves_the_metrics_alone(world: World, target: Path) -> None:
    """The run that holds the lock writes them."""
    layout = Layout(world.warehouse)
    layout.create()
    with writer_lock(layout), pytest.raises(WarehouseBusyError):
        world.sync(metrics_file=target)
    assert not target.exists()


def test_any_path_is_a_valid_label() -> None:
    """Quotes, backslashes and line breaks are escaped."""
    odd = 'a"b\\c\nd'
    (family,) = text_string_to_metric_families(text(odd, []))
    assert family.samples[0].labels["warehouse"] == odd


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Counters end in _total, nothing else does, and no name comes twice."""
    names = [metric.full_name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"vapi_sessions_[a-z_]+", metric.full_name)
        assert metric.help.endswith(".")


def test_the_sample_alerts_use_metrics_that_exist() -> None:
    """Each rule has an expression and a summary."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    names = {metric.full_name for metric in METRICS}
    for rule in group["rules"]:
        used = set(re.findall(r"\bvapi_sessions_\w+", rule["expr"]))
        assert used
        assert used <= names
        assert rule["annotations"]["summary"]
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert names <= set(re.findall(r"\bvapi_sessions_\w+", operations))
