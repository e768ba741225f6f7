"""Claims against a real endpoint: of many who want the same attempt, one gets it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from bridge.errors import NotFoundError, PermanentError
from bridge.local.aws import AwsEndpoint
from bridge.storage.claims import Claim, Claims

SOON = 60.0


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claims]:
    with AwsEndpoint(tmp_path_factory.mktemp("aws"), engine="process") as endpoint:
        keys = endpoint.environment()
        client = boto3.client(
            "s3",
            endpoint_url=endpoint.url,
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket="work")
        secrets = {
            "access_key": keys["AWS_ACCESS_KEY_ID"],
            "secret_key": keys["AWS_SECRET_ACCESS_KEY"],
        }
        yield Claims("s3://work/runs/", {"endpoint": endpoint.url}, secrets)


def test_of_many_at_once_one_is_first(claims: Claims) -> None:
    start = threading.Barrier(8)

    def one(number: int) -> str:
        start.wait()
        return claims.take("many", 1, f"run-{number}", time.time() + SOON).holder

    with ThreadPoolExecutor(8) as pool:
        holders = list(pool.map(one, range(8)))
    assert len(set(holders)) == 1


def test_the_same_holder_takes_it_again(claims: Claims) -> None:
    claims.take("again", 1, "a", time.time() + SOON)
    assert claims.take("again", 1, "a", time.time() + 2 * SOON).holder == "a"
    assert claims.take("again", 1, "b", time.time() + SOON).holder == "a"
    assert claims.take("again", 2, "b", time.time() + SOON).holder == "b"


def test_a_claim_whose_time_is_over_is_free(claims: Claims) -> None:
    claims.take("old", 1, "a", time.time() - 1)
    assert claims.take("old", 1, "b", time.time() + SOON).holder == "b"


def test_a_claim_that_was_let_go_of_is_free(claims: Claims) -> None:
    claims.take("free", 1, "a", time.time() + SOON)
    claims.let_go("free", 1)
    assert claims.read("free", 1) is None
    assert claims.take("free", 1, "b", time.time() + SOON).holder == "b"


def test_what_was_handed_over_is_nobodys_to_run(claims: Claims) -> None:
    mine = claims.take("handed", 1, "a", time.time() - 1)
    claims.keep("handed", 1, mine._replace(handed=True, batch_job="b-1", run={"state": "x"}))
    found = claims.take("handed", 1, "a", time.time() + SOON)
    assert claims.take("handed", 1, "b", time.time() + SOON) == found
    assert (found.handed, found.batch_job, found.run) == (True, "b-1", {"state": "x"})


def test_a_hand_over_that_stopped_half_way_is_taken_over_once(claims: Claims) -> None:
    claims.keep("half", 1, Claim("a", time.time() - 1, handed=True, run={"state": "x"}))
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda n: claims.take("half", 1, f"r{n}", time.time() + SOON), range(4))
        )
    assert len({claim.holder for claim in found}) == 1
    assert all(claim.handed and claim.again and claim.run == {"state": "x"} for claim in found)


def test_places_that_are_none(claims: Claims) -> None:
    with pytest.raises(PermanentError, match="not an s3://"):
        Claims("/tmp/x")
    other = Claims.__new__(Claims)
    for name in ("_prefix", "_client", "_shared"):
        setattr(other, name, getattr(claims, name))
    other._bucket = "no-such-bucket"
    with pytest.raises(NotFoundError, match="no-such-bucket"):
        other.take("x", 1, "a", time.time() + SOON)
