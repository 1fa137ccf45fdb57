"""Look up known advisories for all locked versions in OSV, the database that pip-audit and `uv audit` use.

A request of our own, because pip-audit needs some thirty packages and `uv audit` reads only locks of uv. If the database
cannot be reached, a warning is printed and the audit passes. requirements/advisories.txt lists accepted advisories, one a
line: the id, then the reason.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVICE = "https://api.osv.dev/v1/querybatch"
PATIENCE = 20.0  # seconds
_AT_ONCE = 1_000  # packages in one request, at most


def locked(directory: Path) -> dict[tuple[str, str], list[str]]:
    """(name, version) of each locked package to the files that lock it."""
    found: dict[tuple[str, str], list[str]] = {}
    for lock in sorted(directory.glob("*.txt")):
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
            found.setdefault((name, version), []).append(lock.name)
    return found


def accepted(directory: Path) -> set[str]:
    """Ids of the accepted advisories. Raises ValueError for one without a reason."""
    path = directory / "advisories.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    entries = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    if any(len(entry) < 2 for entry in entries):
        raise ValueError(f"{path}: each advisory needs its reason")
    return {entry[0] for entry in entries}


def advisories(packages: list[tuple[str, str]], service: str) -> list[list[str]]:
    """Ids of the advisories for each package. Raises OSError or ValueError if the service does not answer."""
    found: list[list[str]] = []
    for start in range(0, len(packages), _AT_ONCE):
        part = packages[start : start + _AT_ONCE]
        queries = [
            {"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in part
        ]
        request = urllib.request.Request(  # noqa: S310  # our own constant, or a test's server
            service, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            results = json.load(answer)["results"]
        if len(results) != len(part):
            raise ValueError(f"{len(results)} results for {len(part)} packages")
        found += [[entry["id"] for entry in result.get("vulns") or ()] for result in results]
    return found


def main(directory: Path = ROOT / "requirements", service: str = SERVICE) -> int:
    """Returns 1 if a locked package has an advisory that is not accepted, else 0."""
    packages = locked(directory)
    try:
        known = advisories(list(packages), service)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(
            f"!!! NOT AUDITED: no advisory database can be reached ({type(error).__name__}). "
            f"{len(packages)} locked packages were not checked; run make audit when {service} is reachable.",
            file=sys.stderr,
        )
        return 0
    fine = accepted(directory)
    bad = 0
    for ((name, version), locks), ids in zip(packages.items(), known, strict=True):
        for advisory in sorted(set(ids) - fine):
            print(f"{name} {version} ({', '.join(locks)}): {advisory}, see https://osv.dev/{advisory}")
            bad = 1
    if not bad:
        print(f"{len(packages)} locked packages, no known advisory")
    return bad


if __name__ == "__main__":
    sys.exit(main())
