"""The DaemonSet that brings an image to the nodes, and what its pods tell; no cluster needed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PermanentError
from bridge.fdl import parse
from bridge.fdl.model import Resources, Service
from bridge.fdl.options import OscarOptions
from bridge.targets.kubernetes import ClusterSettings
from bridge.targets.kubernetes._prefetch import (
    has_image,
    image_puller,
    prefetch,
    refusal,
    wants_prefetch,
)

SERVICE = Service("resize", "oscar", "tool:1", Resources(Decimal(1), 2**28), options=OscarOptions())


def status(**state: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [state]}}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return status(state={"waiting": {"reason": reason, "message": message}}, **more)


def test_the_puller_goes_where_the_jobs_go() -> None:
    settings = ClusterSettings(
        image_pull_secrets=("site",),
        node_selector={"disk": "ssd"},
        tolerations=({"key": "gpu", "operator": "Exists"},),
    )
    asked = replace(SERVICE, options=OscarOptions(image_pull_secrets=("own", "site")))
    made = image_puller(asked, "here", settings)
    assert (made["kind"], made["metadata"]["name"]) == ("DaemonSet", "image-puller-resize")
    template = made["spec"]["template"]
    assert template["metadata"]["labels"] == made["spec"]["selector"]["matchLabels"]
    assert "oscar-bridge/job" not in template["metadata"]["labels"]
    pod = template["spec"]
    assert pod["imagePullSecrets"] == [{"name": "site"}, {"name": "own"}]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    (container,) = pod["containers"]
    assert container["image"] == "tool:1"
    # A quota may demand both.
    assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys()


@pytest.mark.parametrize(
    ("pod", "there", "refused"),
    [
        ({}, False, ""),
        (waiting("ContainerCreating"), False, ""),
        (waiting("ErrImagePull", "no route"), False, ""),
        (
            waiting("ImagePullBackOff", "manifest unknown"),
            False,
            "ImagePullBackOff: manifest unknown",
        ),
        (waiting("ErrImageNeverPull"), False, "ErrImageNeverPull"),
        (status(state={"running": {}}), True, ""),
        (status(state={"terminated": {"exitCode": 127}}), True, ""),
        (waiting("RunContainerError", "no sleep in the image"), True, ""),
        (waiting("CrashLoopBackOff", lastState={"terminated": {}}), True, ""),
    ],
)
def test_a_container_that_was_made_has_its_image(
    pod: dict[str, Any], there: bool, refused: str
) -> None:
    assert has_image(pod) is there
    assert refusal(pod) == refused


def test_the_flags_of_the_file() -> None:
    """`alpine` is accepted and changes nothing: the runtime brings its own libc."""
    text = (
        "functions:\n  oscar:\n  - c:\n      name: s\n      image: a:1\n      script: s.sh\n"
        "      alpine: true\n      image_prefetch: true\n"
    )
    (found,) = parse(text).services
    assert wants_prefetch(found)
    assert not wants_prefetch(SERVICE)
    assert isinstance(found.options, OscarOptions) and found.options.alpine
    (other,) = parse(text.replace("      alpine: true\n", "")).services
    puller = image_puller(found, "here", ClusterSettings())
    assert puller == image_puller(other, "here", ClusterSettings())


class Taken:
    """A cluster where somebody else, OSCAR's own manager for one, has a DaemonSet of that name."""

    namespace, settings = "here", ClusterSettings()

    def apply(self, manifest: Any) -> None:
        raise PermanentError(f"{manifest['metadata']['name']} exists")

    def find(self, *_: object) -> dict[str, Any]:
        return {"metadata": {"labels": {}}}

    def delete(self, _: object, name: str) -> None:
        pytest.fail(f"{name} is not ours")


def test_a_puller_of_somebody_else_stays() -> None:
    with pytest.raises(PermanentError, match="image-puller-resize exists"):
        prefetch(Taken(), [SERVICE])  # type: ignore[arg-type]
