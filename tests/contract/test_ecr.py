"""Repositories and images; with an engine, those that are on this machine."""

from __future__ import annotations

import subprocess

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import OTHER_IMAGE, Endpoint, code, message, name

local = pytest.mark.contract("ecr-local")


def test_what_is_not_there_is_not_found(aws: Endpoint) -> None:
    ecr = aws.client("ecr")
    none = name("none")
    for ask in (ecr.describe_images, ecr.list_images):
        with pytest.raises(ClientError) as caught:
            ask(repositoryName=none)
        assert code(caught.value) == "RepositoryNotFoundException"
    with pytest.raises(ClientError) as caught:
        ecr.describe_repositories(repositoryNames=[none])
    assert code(caught.value) == "RepositoryNotFoundException"


def test_an_image_that_is_not_in_its_repository_is_not_found(aws: Endpoint) -> None:
    ecr, repository = aws.client("ecr"), name("repository")
    made = ecr.create_repository(repositoryName=repository)["repository"]
    assert made["repositoryUri"].endswith(f".dkr.ecr.us-east-1.amazonaws.com/{repository}")
    assert ecr.describe_images(repositoryName=repository)["imageDetails"] == []
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []
    with pytest.raises(ClientError) as caught:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "none"}])
    assert code(caught.value) == "ImageNotFoundException"
    assert "imageTag:'none'" in message(caught.value)
    found = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert [one["repositoryName"] for one in found] == [repository]


def test_an_image_that_was_put_is_found_by_tag_and_digest(aws: Endpoint) -> None:
    ecr, repository = aws.client("ecr"), name("repository")
    ecr.create_repository(repositoryName=repository)
    put = ecr.put_image(repositoryName=repository, imageManifest=MANIFEST, imageTag="one")["image"]
    digest = put["imageId"]["imageDigest"]
    for wanted in ({"imageTag": "one"}, {"imageDigest": digest}):
        [found] = ecr.describe_images(repositoryName=repository, imageIds=[wanted])["imageDetails"]
        assert (found["imageDigest"], found["imageTags"]) == (digest, ["one"])
    listed = ecr.list_images(repositoryName=repository)["imageIds"]
    assert listed == [{"imageDigest": digest, "imageTag": "one"}]


@local
def test_images_of_this_machine_are_described_listed_and_run(aws: Endpoint) -> None:
    ecr = aws.client("ecr")
    repository, _, tag = OTHER_IMAGE.partition(":")
    [found] = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])[
        "imageDetails"
    ]
    assert found["imageDigest"].startswith("sha256:")
    assert found["imageSizeInBytes"] > 0
    assert {"imageDigest": found["imageDigest"], "imageTag": tag} in ecr.list_images(
        repositoryName=repository
    )["imageIds"]
    with pytest.raises(ClientError) as caught:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "none"}])
    assert code(caught.value) == "ImageNotFoundException"
    [place] = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert place["repositoryUri"].endswith(f"/{repository}")


@local
def test_an_image_of_the_account_registry_may_be_here_without_that_prefix(aws: Endpoint) -> None:
    uri = f"{aws.account}.dkr.ecr.us-east-1.amazonaws.com/{aws.image}"
    function = aws.function(uri)
    assert aws.invoke(function, {"is": "here"})[0]["echo"] == {"is": "here"}


@local
def test_an_image_with_the_name_of_the_account_registry_is_in_its_repository(
    aws: Endpoint,
) -> None:
    repository = name("tagged")
    uri = f"{aws.account}.dkr.ecr.us-east-1.amazonaws.com/{repository}:v1"
    subprocess.run(["docker", "tag", aws.image, uri], check=True)
    try:
        [found] = aws.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
        assert found["imageTags"] == ["v1"]
        assert aws.invoke(aws.function(uri), {})[1] == ""
    finally:
        subprocess.run(["docker", "rmi", "--no-prune", uri], check=True, capture_output=True)


MANIFEST = """{
  "schemaVersion": 2,
  "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
  "config": {
    "mediaType": "application/vnd.docker.container.image.v1+json",
    "size": 2,
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
  },
  "layers": []
}"""
