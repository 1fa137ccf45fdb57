"""An installed wheel can write reports."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.proof
def test_the_wheel_has_the_files_of_the_page(tmp_path: Path) -> None:
    """Template, style and script."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"vapi_sessions/report/page.{kind}" for kind in ("html", "css", "js")} <= set(names)
