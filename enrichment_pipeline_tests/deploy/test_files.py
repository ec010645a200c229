"""What the files of `deploy/` name exists, and agrees with the rest of the project."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.orchestration.instance import LOCATIONS
from enrichment_pipeline.settings import Settings, variable_name
from enrichment_pipeline_tests.deploy.files import (
    COMPOSE,
    DEPLOY,
    IMAGE,
    KUBERNETES,
    PROJECT,
    containers,
    manifests,
    ours,
    read,
    services,
)

VARIABLES = {variable_name(field) for field in Settings.model_fields}
VALUES = read(KUBERNETES / "dagster-values.yaml")
CODE = VALUES["dagster-user-deployments"]["deployments"]
GUIDE = (PROJECT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
REQUIRED = re.compile(r"\$\{(\w+):\?\}")


def rules() -> list[dict[str, Any]]:
    """The rules of the alerts."""
    return list(read(COMPOSE / "alert_rules.yml")["groups"][0]["rules"])


def queries() -> list[str]:
    """All that Prometheus is asked: by the alerts, the dashboard, and KEDA."""
    dashboard = json.loads((COMPOSE / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    return [
        *(rule["expr"] for rule in rules()),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
        *(
            trigger["metadata"]["query"]
            for manifest in manifests()
            if manifest["kind"] == "ScaledObject"
            for trigger in manifest["spec"]["triggers"]
        ),
    ]


def counted() -> str:
    """What the API's /metrics says once everything has been counted."""
    metrics = Metrics()
    metrics.latency.labels(0.99).set(0)
    for counter in (metrics.requests, metrics.accepted, metrics.duplicates):
        counter.labels("any").inc()
    for kind in ("dead_letters", "failed_window"):
        metrics.alerts_open.labels(kind).set(0)
    metrics.quarantined.labels("any").inc()
    metrics.count_notifications("left", 1)
    return metrics.text().decode()


@pytest.mark.parametrize("service", ours())
def test_every_variable_of_a_service_is_a_setting(service: str) -> None:
    assert set(ours()[service]["environment"]) <= VARIABLES


def test_every_variable_of_a_container_is_a_setting() -> None:
    named = {entry["name"] for container in containers() for entry in container.get("env", ())}
    assert named <= VARIABLES


def test_every_file_that_compose_mounts_exists() -> None:
    mounted = [
        volume.split(":")[0] for it in services().values() for volume in it.get("volumes", ())
    ]
    files = [source for source in mounted if source.startswith("./")]
    assert files
    assert [file for file in files if not (DEPLOY / file).is_file()] == []


def test_compose_refuses_to_start_without_its_passwords_and_the_example_names_each() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    example = (COMPOSE / ".env.example").read_text(encoding="utf-8")
    assert set(REQUIRED.findall(text)) == set(re.findall(r"^(\w+)=$", example, re.M))
    # Any other form has a default, or none at all.
    assert text.count("${") == len(REQUIRED.findall(text))


def test_only_this_machine_reaches_what_compose_publishes() -> None:
    published = [port for it in services().values() for port in it.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_webserver_and_daemon_find_the_code_locations_at_the_services_that_serve_them() -> None:
    servers = [entry["grpc_server"] for entry in read(COMPOSE / "workspace.yaml")["load_from"]]
    assert {server["location_name"] for server in servers} == set(LOCATIONS)
    for server in servers:
        command = ours()[server["host"]]["command"]
        assert f"--module-name={LOCATIONS[server['location_name']]}" in command
        assert f"--port={server['port']}" in command


def test_the_charts_code_locations_are_served_by_the_deployments_that_it_is_set_to_make() -> None:
    modules = {it["name"]: (it["port"], it["codeServerArgs"][-1]) for it in CODE}
    servers = VALUES["dagsterWebserver"]["workspace"]["servers"]
    assert {it["name"]: modules[it["host"]] for it in servers} == {
        location: (4000, module) for location, module in LOCATIONS.items()
    }


def test_the_chart_sets_what_our_dagster_yaml_sets() -> None:
    own, daemon = read(PROJECT / "dagster.yaml"), VALUES["dagsterDaemon"]
    coordinator = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    retries, monitoring = daemon["runRetries"], daemon["runMonitoring"]
    assert {
        "concurrency": {
            "runs": {
                "max_concurrent_runs": coordinator["maxConcurrentRuns"],
                "tag_concurrency_limits": coordinator["tagConcurrencyLimits"],
            }
        },
        "dequeue": coordinator["dequeueIntervalSeconds"],
        "sensors": {
            "use_threads": daemon["sensors"]["useThreads"],
            "num_workers": daemon["sensors"]["numWorkers"],
        },
        "run_retries": {
            "enabled": retries["enabled"],
            "max_retries": retries["maxRetries"],
            "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
        },
        "run_monitoring": {
            "enabled": monitoring["enabled"],
            "max_runtime_seconds": monitoring["maxRuntimeSeconds"],
        },
        "retention": {
            noun: {"purge_after_days": VALUES["retention"][noun]["purgeAfterDays"]}
            for noun in ("sensor", "schedule")
        },
        "telemetry": VALUES["telemetry"],
        "nux": VALUES["additionalInstanceConfig"]["nux"],
    } == {
        "dequeue": own["run_coordinator"]["config"]["dequeue_interval_seconds"],
        **{key: value for key, value in own.items() if key not in {"storage", "run_coordinator"}},
    }


def test_everything_runs_the_same_version_of_the_image_as_an_ordinary_user() -> None:
    version = PYPROJECT["version"]
    assert {it["image"] for it in ours().values()} == {f"{IMAGE}:{version}"}
    charts = [VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], *CODE]
    assert {it["image"]["tag"] for it in charts} == {version}
    assert {it["image"].rpartition("/")[2] for it in containers()} == {f"{IMAGE}:{version}"}
    pods = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests()
        if manifest["kind"] in {"Job", "Deployment"}
    ]
    [user] = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.M)
    contexts = [
        *(it["podSecurityContext"] for it in charts),
        *(pod["securityContext"] for pod in pods),
    ]
    assert {(it["runAsNonRoot"], it["runAsUser"]) for it in contexts} == {(True, int(user))}


def test_the_image_has_what_it_copies_and_the_dagster_that_is_pinned() -> None:
    copied = [
        path for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M) for path in line.split()
    ]
    let_in = re.findall(
        r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.M
    )
    assert set(copied) == set(let_in)
    assert all((PROJECT / path).exists() for path in copied)
    [pin] = re.findall(r"dagster-k8s==([\d.]+)", DOCKERFILE)
    assert f"dagster-postgres=={pin}" in PYPROJECT["dependencies"]


@pytest.mark.parametrize("query", queries())
def test_every_metric_that_is_asked_for_is_one_of_the_api_or_of_rabbitmq(query: str) -> None:
    text = counted()
    asked = re.findall(r"\b(?:enrichment|rabbitmq|up)\w*\b(?=[\[{)\s]|$)", query)
    assert asked
    for name in asked:
        of_others = name in {"up", "rabbitmq_queue_consumers"}
        assert of_others or re.search(rf"^{name}[ {{]", text, re.M), name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_where_what_to_do_is_written(rule: dict[str, Any]) -> None:
    page, _, heading = rule["annotations"]["runbook"].partition("#")
    assert Path(page).name == "deploy.md"
    assert heading == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in GUIDE


def test_prometheus_reads_what_compose_starts() -> None:
    jobs = read(COMPOSE / "prometheus.yml")["scrape_configs"]
    targets = [
        target for job in jobs for entry in job["static_configs"] for target in entry["targets"]
    ]
    assert {target.split(":")[0] for target in targets} <= set(services())
    assert read(DEPLOY / "compose.yaml")["secrets"] == {
        "read_token": {"environment": variable_name("read_token")}
    }


def test_what_scales_is_there_to_be_scaled_and_has_no_number_of_its_own() -> None:
    deployments = {it["metadata"]["name"]: it for it in manifests() if it["kind"] == "Deployment"}
    for manifest in manifests():
        if target := manifest["spec"].get("scaleTargetRef"):
            assert "replicas" not in deployments[target["name"]]["spec"]
