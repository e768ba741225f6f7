"""What services were asked for and used, for OSCAR's dashboard and for Prometheus."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from bridge.errors import TemporaryError
from manager import metrics

from .conftest import Live
from .test_jobs import finished

PATH = "/system/metrics"


@pytest.fixture(scope="module")
def used(live: Live) -> str:
    """A service with two jobs that are over and one call."""
    name = live.create(cpu="0.5")
    assert live.ask("POST", f"/run/{name}", b"now").status == 200
    for body in (b"later 1", b"later 2"):
        assert live.ask("POST", f"/job/{name}", body).status == 201
    finished(live, name, 2)
    return name


def test_the_summary_counts_calls_and_jobs(live: Live, used: str) -> None:
    found = live.ask("GET", PATH).json
    assert list(found) == ["start", "end", "totals", "sources"]
    totals = found["totals"]
    assert list(totals) == [
        "services_count_active", "services_count_total", "cpu_hours_total", "gpu_hours_total",
        "requests_count_total", "requests_count_sync", "requests_count_async",
        "requests_count_exposed", "countries_count", "countries", "users_count", "users",
    ]  # fmt: skip
    assert totals["requests_count_sync"] >= 1
    assert totals["requests_count_async"] >= 2
    assert totals["cpu_hours_total"] > 0
    assert totals["users"] == ["cluster_admin"]
    assert totals["countries"] == []
    states = {one["name"]: one["status"] for one in found["sources"]}
    assert states == {"jobs": "ok", "calls": "ok", "exposed": "missing", "countries": "missing"}


def test_a_breakdown_by_service_and_user(live: Live, used: str) -> None:
    path = f"{PATH}/breakdown?group_by=service"
    item = next(i for i in live.ask("GET", path).json["items"] if i["key"] == used)
    assert item == {
        "key": used, "requests_count_total": 3, "requests_count_sync": 1,
        "requests_count_async": 2, "requests_count_exposed": 0, "unique_users_count": 1,
        "countries": [],
    }  # fmt: skip
    with_users = live.ask("GET", f"{path}&include_users=true").json["items"]
    assert next(i for i in with_users if i["key"] == used)["users"] == ["cluster_admin"]
    table = live.ask("GET", f"{path}&format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert next(row for row in rows if row["key"] == used)["requests_count_total"] == "3"
    users = live.ask("GET", f"{PATH}/breakdown?group_by=user").json["items"]
    assert [user["key"] for user in users] == ["cluster_admin"]
    assert live.ask("GET", f"{PATH}/breakdown?group_by=country").json["items"] == []


def test_one_service_has_six_metrics_or_one(live: Live, used: str) -> None:
    found = live.ask("GET", f"{PATH}/{used}").json
    assert list(found) == ["service_name", "start", "end", "metrics"]
    values = {one["metric"]: one["value"] for one in found["metrics"]}
    assert list(values) == list(metrics.METRICS)
    assert values["requests-async-per-service"] == 2
    assert values["cpu-hours"] > 0
    one = live.ask("GET", f"{PATH}/{used}?metric=gpu-hours").json
    assert list(one) == ["service_id", "metric", "start", "end", "value", "unit", "sources"]
    assert (one["service_id"], one["value"], one["unit"]) == (used, 0, "hours")
    old = "start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00%2B01:00"
    then = live.ask("GET", f"{PATH}/{used}?metric=requests-async-per-service&{old}").json
    assert (then["value"], then["end"]) == (0, "2020-01-01T23:00:00Z")


WRONG = [
    "?start=yesterday",
    "?start=2026-01-01",
    "?end=0001-01-01T00:00:00%2B14:00",
    "?start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z",
    "/breakdown",
    "/breakdown?group_by=planet",
    "/breakdown?group_by=service&format=xml",
    "/breakdown?group_by=service&format=csv&include_users=true",
]


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_query_is_400_and_json(live: Live, query: str) -> None:
    answer = live.ask("GET", PATH + query)
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_a_metric_or_a_service_that_is_none(live: Live, used: str) -> None:
    assert "cpu-hours" in live.ask("GET", f"{PATH}/{used}?metric=x").json["error"]
    assert live.ask("GET", f"{PATH}/absent").status == 404


def test_prometheus_reads_numbers_and_no_names(live: Live, used: str) -> None:
    token = {"Authorization": f"Bearer {live.token}"}
    assert live.ask("POST", "/events", b"{}", token).status == 200
    answer = live.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    values = dict(re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+-]+)$", answer.text, re.MULTILINE))
    assert float(values["bridge_events_accepted_total"]) >= 2
    assert float(values['bridge_calls_total{kind="job",status="201"}']) >= 2
    assert float(values['bridge_jobs_over_total{state="succeeded",target="local"}']) >= 2
    assert float(values["bridge_ingest_seconds_count"]) >= 1
    assert values["bridge_queue_depth"] == "0.0"
    assert values['bridge_breaker_open{target="local"}'] == "0.0"
    assert used not in answer.text


def test_it_is_not_ready_when_the_state_cannot_be_written(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.routes.watching._PAUSE", 0.0)
    assert live.ask("GET", "/ready", headers={}).text == "Ok"

    def full(*_: Any) -> None:
        raise TemporaryError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(live.manager.parts.jobs, "lease", full)
        answer = live.ask("GET", "/ready", headers={})
        assert (answer.status, answer.text) == (503, "not ready: the state cannot be written")
    with monkeypatch.context() as patch:
        patch.setattr(live.manager, "ready", False)
        assert live.ask("GET", "/ready", headers={}).status == 503
    assert live.ask("GET", "/ready", headers={}).status == 200
