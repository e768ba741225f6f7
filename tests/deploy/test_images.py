"""Images are pushed before the stacks that name them, and only when something changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from bridge import fdl
from bridge.deploy import Applied, ImageStep, Plan, apply, plan
from bridge.errors import NotFoundError
from bridge.fdl.model import Service
from bridge.images import REPOSITORY, Bundle, ImagePlan, ServiceImages
from bridge.images.registry import Registry
from bridge.targets.aws import Account
from tests.deploy.assemblies import PACE, Bench, definition, parameter
from tests.images import pictures
from tests.images.conftest import small_runtime
from tests.images.registries import Served, registry

FDL = """
functions:
  aws:
  - lambda:
      name: {name}
      execution_mode: batch
      init_script: script.sh
      container: {{image: '{image}'}}
      input: [{{storage_provider: s3, path: bucket/in}}]
"""


class Elsewhere(ServiceImages):
    """The account's own registry would be on the internet: one of this machine stands for it."""

    host = ""
    asked: str = ""

    def plan_for(self, service: Service, **given: Any) -> ImagePlan:
        self.asked = str(given.pop("repository"))
        return super().plan_for(service, repository=f"{self.host}/{REPOSITORY}", **given)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def images(served: Served, tmp_path: Path) -> Elsewhere:
    made = Elsewhere(Bundle.of(small_runtime(tmp_path / "runtime")))
    made.host = served.host
    return made


def test_an_image_is_pushed_before_its_stack_and_once(
    bench: Bench, images: Elsewhere, served: Served
) -> None:
    source = pictures.repository()
    pictures.put(Registry(served.host), source)
    name = f"{bench.prefix}-one"
    document = fdl.parse(
        FDL.format(name=name, image=f"{served.host}/{source}:1"), read_script=lambda _: "true\n"
    )
    target = images.plan_for(document.service(name), repository="", push=True).target
    resources = {
        "Job": definition(
            name,
            ContainerProperties={
                "Image": str(target),
                "ResourceRequirements": [
                    {"Type": "VCPU", "Value": "1"},
                    {"Type": "MEMORY", "Value": "512"},
                ],
            },
        ),
        "Told": parameter(f"/{bench.prefix}/services/{name}"),
    }

    def maker(_: Account) -> AbstractContextManager[ServiceImages]:
        return closing(images)

    def planned() -> Plan:
        assembly = bench.assembly(resources, document=document)
        return plan(assembly, bench.account, pace=PACE, images=maker)

    first = planned()
    [step] = [one for one in first.steps if isinstance(one, ImageStep)]
    assert (step.services, str(step.plan.target)) == ((name,), str(target))
    assert images.asked.endswith(f".dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}")
    with pytest.raises(NotFoundError):
        Registry(served.host).manifest(target.repository, target.tag)
    done: Applied = apply(first, bench.account, replan=planned, pace=PACE, images=maker)
    assert done.changed
    assert Registry(served.host).digest(target.repository, target.tag)
    assert bench.status() == "CREATE_COMPLETE"
    writes = served.writes()
    assert planned().empty
    assert served.writes() == writes
