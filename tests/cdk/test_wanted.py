"""What services need, as values: no CDK, no AWS."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bridge.errors import FdlError
from bridge.fdl import parse
from cdk import Base, Facts, Wanted, select, wanted
from tests.cdk.assemblies import FACTS, SCAR, SECRET, document_of, selection_of, simple

BASE = Base("oscar-bridge", FACTS.account, FACTS.region)


def values(text: str, facts: Facts = FACTS) -> dict[str, Wanted]:
    return {one.name: one for one in wanted(selection_of(text), facts, BASE, {})}


def problems(text: str, facts: Facts = FACTS) -> list[str]:
    with pytest.raises(FdlError) as refused:
        values(text, facts)
    return [str(one) for one in refused.value.problems]


def actions(one: Wanted) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for statement in one.grants.statements:
        for action in statement.actions:
            found.setdefault(action, []).extend(statement.resources)
    return found


def test_both_sides_of_lambda_batch_and_one_of_the_others() -> None:
    text = "functions:\n  aws:" + simple("a") + simple("b", "batch") + simple("c", "lambda-batch")
    made = values(text)
    assert [(one.function, one.job is not None) for one in made.values()] == [
        (True, False),
        (False, True),
        (True, True),
    ]
    assert made["a"].targets == ("aws-lambda",)
    assert made["c"].targets == ("aws-lambda", "aws-batch")


def test_a_service_of_ours_goes_wherever_the_scheduler_may_place_it() -> None:
    text = """
functions:
  bridge:
  - name: anywhere
    image: example/image
    script: s.sh
    memory: 512Mi
    cpu: '1'
  - name: large
    image: example/image
    script: s.sh
    memory: 20Gi
    cpu: '4'
  oscar:
  - lab: {name: at-home, image: example/image, script: s.sh, memory: 128Mi, cpu: '0.1'}
clusters: {lab: {endpoint: 'https://lab.example.org'}}
"""
    selection = selection_of(text)
    sides = {one.service.name: (one.function, one.job) for one in selection.services}
    assert sides == {"anywhere": (True, True), "large": (False, True)}
    assert [str(note) for note in selection.notes] == ["at-home: runs on lab, not on AWS"]


def test_the_document_has_all_that_jobs_and_dispatcher_need_and_no_secret() -> None:
    made = values(SCAR)["all-keys"]
    assert SECRET not in made.document
    body = json.loads(made.document)
    assert body["script"] == "echo hello\n"
    assert body["service"]["name"] == "all-keys"
    assert body["service"]["storage_providers"]["minio"]["lab"] == {
        "endpoint": "https://minio.example.org"
    }
    again = parse(body["fdl"], file="again", read_script=lambda _: body["script"])
    [service] = again.services
    assert replace(service, secrets={}) == replace(made.service, secrets={})
    assert made.secret == "oscar-bridge/all-keys"


def test_a_policy_takes_the_place_of_the_files() -> None:
    document = document_of("functions:\n  aws:" + simple("a", "lambda-batch"))
    [one] = wanted(select(document, FACTS.region, "fastest"), FACTS, BASE, {})
    assert "policy: fastest" in json.loads(one.document)["fdl"]


def test_permissions_end_at_the_services_own_folders() -> None:
    may = actions(values("functions:\n  aws:" + simple("cut"))["cut"])
    work = "arn:aws:s3:::oscar-bridge-111122223333-eu-west-1"
    assert sorted(may["s3:GetObject"]) == [
        "arn:aws:s3:::cut-bucket/in/*",
        f"{work}/events/cut-*",
        f"{work}/reports/cut-*",
        f"{work}/runs/cut-*",
    ]
    assert sorted(may["s3:PutObject"]) == [
        "arn:aws:s3:::cut-bucket/out/*",
        f"{work}/reports/cut-*",
        f"{work}/runs/cut-*",
    ]
    assert may["sqs:SendMessage"] == ["arn:aws:sqs:eu-west-1:111122223333:oscar-bridge-states"]
    assert "secretsmanager:GetSecretValue" not in may
    assert not any(action.endswith("*") for action in may)


def test_a_key_that_looks_like_a_pattern_is_no_pattern() -> None:
    text = "functions:\n  aws:" + simple("cut").replace("cut-bucket/in", "'cut-bucket/a*$?'")
    may = actions(values(text)["cut"])
    assert "arn:aws:s3:::cut-bucket/a${*}${$}${?}/*" in may["s3:GetObject"]


def test_with_keys_of_its_own_a_provider_needs_no_role() -> None:
    text = (
        "functions:\n  aws:"
        + simple("cut").replace("storage_provider: s3,", "storage_provider: s3.other,")
        + f"storage_providers: {{s3: {{other: {{access_key: a, secret_key: {SECRET}}}}}}}"
    )
    facts = replace(FACTS, buckets={"cut-bucket": "taken"})
    made = values(text, facts)["cut"]
    assert not [r for r in actions(made)["s3:GetObject"] if "cut-bucket" in r]
    assert actions(made)["secretsmanager:GetSecretValue"] == [
        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:oscar-bridge/cut-??????"
    ]


def test_triggers_say_what_the_inputs_do() -> None:
    made = {one.bucket: one for one in values(SCAR)["all-keys"].triggers}
    keys = made["pictures"].pattern["detail"]["object"]["key"]
    assert keys[0] == {"wildcard": "in/a*.jpg"}
    assert len(keys) == 4
    assert "object" not in made["more"].pattern["detail"]


def test_a_pattern_that_is_too_long_gets_wider() -> None:
    names = ", ".join(f"suffix-{number:04}" for number in range(200))
    text = "functions:\n  aws:" + simple("cut").replace(
        "cut-bucket/in}", f"cut-bucket/in, suffix: [{names}]}}"
    )
    [trigger] = values(text)["cut"].triggers
    assert trigger.pattern["detail"]["object"]["key"] == [{"prefix": "in/"}]


def test_what_has_no_effect_is_said() -> None:
    notes = " ".join(str(note) for note in values(SCAR)["all-keys"].notes)
    for key in ("layers", "extra_payload", "deployment", "supervisor", "preheat", "runtime"):
        assert f"{key} " in notes
    assert "file_system is the function's only" in notes
    assert "lambda.retries has no effect" in notes and "batch.retries" not in notes
    batch = "    batch: {retries: 3, array: 5}\n"
    text = simple("cut", "batch", batch).replace("init_script", "timeout: 60\n      init_script")
    notes = " ".join(map(str, values(f"functions:\n  aws:{text}")["cut"].notes))
    for key in ("lambda.timeout", "batch.retries", "batch.array"):
        assert f"{key} has no effect" in notes


def test_jobs_may_be_in_an_array_where_their_role_may_read_it() -> None:
    made = values("functions:\n  aws:" + simple("cut", "batch") + simple("one", "lambda"))
    work = "arn:aws:s3:::oscar-bridge-111122223333-eu-west-1"
    assert f"{work}/arrays/cut-*" in actions(made["cut"])["s3:GetObject"]
    assert made["cut"].arrays and not made["one"].arrays
    # A job of several nodes cannot be a child of one.
    assert not values(SCAR)["all-keys"].arrays


@pytest.mark.parametrize(
    ("state", "words"),
    [("taken", "belongs to another account"), ("elsewhere", "in another region")],
)
def test_buckets_of_others_are_problems_with_their_place(state: str, words: str) -> None:
    text = "functions:\n  aws:" + simple("cut")
    said = problems(text, replace(FACTS, buckets={"cut-bucket": state}))  # type: ignore[dict-item]
    assert said[0].startswith("made-up.yaml:8:")
    assert words in said[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: cut", "name: oscar-bridge-events"), "a function of the dispatcher"),
        (("init_script", "region: us-west-2\n      init_script"), "for the region us-west-2"),
        (("image: example/image", "image: i, environment: {Variables: {AWS_REGION: x}}"), "AWS_RE"),
        (("image: example/image", "image: i, environment: {Variables: {A: %s}}" % ("x" * 3900)),
         "an environment of"),
        (("init_script", "file_system: [{Arn: a, LocalMountPath: /mnt/a}]\n      init_script"),
         "file_system needs a vpc"),
    ],
)  # fmt: skip
def test_what_aws_cannot_have_is_a_problem_with_its_place(
    change: tuple[str, str], words: str
) -> None:
    [said] = problems("functions:\n  aws:" + simple("cut").replace(*change))
    assert said.startswith("made-up.yaml:3:")
    assert words in said
