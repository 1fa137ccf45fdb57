"""Which warehouse the notebooks open, and what they say if there is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from kernels import NOTEBOOKS
from vapi_sessions.errors import ConfigurationError


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module of the notebooks, as if `tmp_path/clone` were the checkout and `tmp_path/desk` the working directory."""
    spec = importlib.util.spec_from_file_location("shared_of_notebooks", NOTEBOOKS / "shared.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("clone", "desk"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(module, "CHECKOUT", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "desk")
    return module


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("clone/demo/warehouse", "demo/warehouse (the demo's)"),
        ("demo/warehouse", "/demo/warehouse (the demo's)"),
        ("clone/warehouse", "warehouse (your own)"),
        ("desk/warehouse", "/desk/warehouse (your own)"),
    ],
)
def test_the_first_of_these_places_with_a_warehouse_is_opened(
    shared: ModuleType,
    demo_warehouse: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    said: str,
) -> None:
    """The demo's in the checkout or beside it, then the user's own. The first line says which."""
    place = tmp_path / where
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(demo_warehouse)
    with shared.open_warehouse() as con:
        ((sessions,),) = con.execute("SELECT count(*) FROM sessions").fetchall()
    printed = capsys.readouterr().out
    assert f"{said}, {sessions} sessions, complete until 20" in printed
    assert len(printed.splitlines()) == 1


def test_the_environment_wins(
    shared: ModuleType,
    demo_warehouse: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Even if it names a directory without a warehouse: opening another one would answer the wrong question."""
    (tmp_path / "clone" / "warehouse").symlink_to(demo_warehouse)
    monkeypatch.setenv("VAPI_WAREHOUSE", str(demo_warehouse / "vapi.duckdb"))
    shared.open_warehouse().close()
    assert "(VAPI_WAREHOUSE)" in capsys.readouterr().out
    monkeypatch.setenv("VAPI_WAREHOUSE", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match=r"no published warehouse in .*nothing"):
        shared.open_warehouse()


def test_without_a_warehouse_the_error_says_what_to_run(shared: ModuleType) -> None:
    """It is what somebody sees who opens a notebook in a fresh clone."""
    with pytest.raises(ConfigurationError, match="No warehouse in demo/warehouse") as caught:
        shared.open_warehouse()
    assert "make demo" in caught.value.remedy
    assert "VAPI_WAREHOUSE" in caught.value.remedy


def test_no_session_is_no_reason_to_fail(shared: ModuleType) -> None:
    """Plots of no rows are empty."""
    import matplotlib.pyplot as plt
    import polars as pl

    figure, axes = plt.subplots()
    empty = pl.DataFrame(
        schema={
            "day": pl.Date,
            "name": pl.String,
            "value": pl.Float64,
            "least": pl.Float64,
            "most": pl.Float64,
            "pending": pl.Int64,
        }
    )
    shared.stacked_days(axes, empty, {"value": shared.BLUE}, pending="pending")
    shared.stacked_bars(axes, empty, "name", {"value": shared.BLUE})
    shared.histogram(axes, empty["value"], "unit")
    shared.histogram(axes, empty["pending"], "unit")
    shared.intervals(axes, empty, "name", "value", "least", "most", "pending")
    assert axes.get_legend() is None
    plt.close(figure)
