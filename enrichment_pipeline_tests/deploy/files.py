"""The files of `deploy/`, read."""

from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
COMPOSE = DEPLOY / "compose"
KUBERNETES = DEPLOY / "kubernetes"

IMAGE = "enrichment-pipeline"


def read(file: Path) -> Any:
    """What a YAML file holds."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml."""
    return dict(read(DEPLOY / "compose.yaml")["services"])


def ours() -> dict[str, dict[str, Any]]:
    """Those that run our image."""
    return {name: it for name, it in services().items() if it["image"].startswith(f"{IMAGE}:")}


def manifests() -> list[dict[str, Any]]:
    """What is given to Kubernetes, but for the values of Dagster's chart."""
    files = sorted(KUBERNETES.glob("*.yaml"))
    return [
        manifest
        for file in files
        if file.name != "dagster-values.yaml"
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


def containers() -> list[dict[str, Any]]:
    """The containers of those."""
    return [
        container
        for manifest in manifests()
        if manifest["kind"] in {"Job", "Deployment"}
        for container in manifest["spec"]["template"]["spec"]["containers"]
    ]
