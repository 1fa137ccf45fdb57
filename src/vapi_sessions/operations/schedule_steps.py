"""A step for the `pull` section of Prefect deployments; see `prefect.yaml`."""

from __future__ import annotations

import os
from typing import Any


def set_environment(**variables: Any) -> dict[str, str]:
    """Set environment variables in the process of a run, before its flow is loaded.

    Prefect replaces `{{ prefect.blocks.secret.… }}` in a step when a run executes it, and stores the step with the placeholder. In
    `job_variables` of `prefect.yaml` it would be replaced by `prefect deploy`, and Prefect would store the key.
    """
    os.environ.update({name: str(value) for name, value in variables.items()})
    return {}
