"""The acceptance of deploying: the stock CDK CLI and our own commands on one hybrid FDL file.

`up` → `cdk bootstrap` → `cdk deploy` → an upload goes through Lambda and Batch → our commands see
it → `cdk destroy` keeps the data → once more by our own commands, those of docs/deploying.md.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.command import EXAMPLES, ROOT, Done, bridge
from tests.docs.pages import DEPLOYING, commands_of, run
from tests.standing import Cdk, Up, up, why_no_npm
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_no_npm()), reason=why_no_npm()),
]

FDL = EXAMPLES / "word-charts" / "word-charts.yaml"
TEXT = EXAMPLES / "word-charts" / "data" / "river.txt"
BUCKET = "oscar-bridge-words"
DEPLOY = ("deploy", "--all", "--require-approval", "never")


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Up]:
    with up(tmp_path) as running:
        yield running


def ours(standing: Up, *words: str | Path) -> Done:
    return bridge(*words, env=standing.variables)


def chart(standing: Up, name: str) -> str:
    """Upload the text by this name; the chart that comes of it."""
    s3 = standing.client("s3")
    s3.upload_file(str(TEXT), BUCKET, f"in/{name}.txt")

    def drawn() -> str | None:
        try:
            found = s3.get_object(Bucket=BUCKET, Key=f"charts/{name}.svg")
        except s3.exceptions.NoSuchKey:
            return None
        return found["Body"].read().decode()

    return eventually(drawn)


def check(drawing: str, name: str) -> None:
    root = ElementTree.fromstring(drawing)
    words = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words[:3] == [f"The words of {name}", "the", "28"]


def jobs(standing: Up) -> list[dict[str, Any]]:
    """All jobs, once none is open."""

    def over() -> list[dict[str, Any]] | None:
        done = ours(standing, "jobs", "--json")
        assert done.status == 0, done.err
        found = done.json["jobs"]
        return found if {one["state"] for one in found} == {"succeeded"} else None

    return eventually(over)


def base(standing: Up) -> dict[str, Any]:
    found = standing.client("ssm").get_parameter(Name="/oscar-bridge/base")
    return json.loads(found["Parameter"]["Value"])


def get(standing: Up, path: str, token: str) -> tuple[int, Any]:
    """A route of the REST API, at the endpoint's own address."""
    [api] = standing.client("apigateway").get_rest_apis()["items"]
    [stage] = standing.client("apigateway").get_stages(restApiId=api["id"])["item"]
    where = f"{standing.variables['AWS_ENDPOINT_URL']}/restapis/{api['id']}"
    url = f"{where}/{stage['stageName']}/_user_request_{path}"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def tokens(standing: Up) -> dict[str, str]:
    client = standing.client("secretsmanager")
    [secret] = [one for one in client.list_secrets()["SecretList"] if "oken" in one["Name"]]
    return json.loads(client.get_secret_value(SecretId=secret["Name"])["SecretString"])


def test_the_acceptance(standing: Up, tmp_path: Path) -> None:
    cdk = Cdk(tmp_path / "home", standing.variables)
    made = tmp_path / "cdk.out"
    for words in (("bootstrap",), (*DEPLOY, "-c", f"fdl={FDL}", "--output", str(made))):
        done = cdk(*words, cwd=ROOT)
        assert done.status == 0, (done.out, done.err)
    check(chart(standing, "river"), "river")
    some = jobs(standing)
    assert {(one["service"], one["target"]) for one in some} == {
        ("count-words", "aws-lambda"),
        ("chart-words", "aws-batch"),
    }
    for service, line in (("count-words", "49 different words"), ("chart-words", "river: drawn")):
        done = ours(standing, "logs", service)
        assert done.status == 0 and line in done.out, (done.out, done.err)
    [token] = set(tokens(standing).values())
    number = some[0]["id"]
    status, answer = get(standing, f"/jobs/{number}", token)
    assert (status, answer["state"]) == (200, "succeeded"), answer
    assert get(standing, f"/jobs/{number}", "wrong")[0] in {401, 403}
    done = ours(standing, "plan", FDL, "--exit-code")
    assert done.status == 0, (done.out, done.err)
    kept_by_destroy(standing, cdk, made)
    type_the_page(standing, tmp_path)


def type_the_page(standing: Up, folder: Path) -> None:
    """The commands of the page from its top to its end; now there are buckets to attach to."""
    shutil.copytree(EXAMPLES, folder / "examples")
    said = [run(line, folder, standing.variables, 600) for line in commands_of(DEPLOYING)]
    assert len(said) > 10
    charts = [path.read_text() for path in folder.glob("charts/**/*.svg")]
    assert charts and all(one.startswith("<svg") for one in charts)


def kept_by_destroy(standing: Up, cdk: Cdk, made: Path) -> None:
    """Everything goes but the data."""
    done = cdk("destroy", "--all", "--force", "--app", str(made), cwd=ROOT)
    assert done.status == 0, (done.out, done.err)
    left = standing.client("cloudformation").describe_stacks()["Stacks"]
    assert [one["StackName"] for one in left] == ["CDKToolkit"]
    assert standing.client("lambda").list_functions()["Functions"] == []
    assert standing.client("batch").describe_job_queues()["jobQueues"] == []
    assert standing.client("events").list_rules()["Rules"] == []
    s3 = standing.client("s3")
    keys = {one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert keys == {"in/river.txt", "counts/river.tsv", "charts/river.svg"}
