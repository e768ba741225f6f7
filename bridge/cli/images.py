"""`image build`: make the images that AWS Lambda and AWS Batch run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.check import load_pipeline
from bridge.cli.output import console, print_json, table
from bridge.errors import UsageError

if TYPE_CHECKING:
    from bridge.fdl.model import Document, Service
    from bridge.images import Built, ImagePlan

__all__ = ["build"]


def build(
    path: Path,
    *,
    service: str,
    repository: str,
    push: bool,
    runtime: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Plan the images of a file's services, make what is missing, and print what was done.

    Services that share an image get the same one, which is made once. `dry_run` only plans.
    """
    from bridge.images import REPOSITORY, Bundle, ServiceImages

    if push and not repository:
        raise UsageError(
            "--push needs to know where to",
            hint="add --repository, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/services",
        )
    document, _ = load_pipeline(path)
    services = _chosen(document, service)
    images = ServiceImages(Bundle.of(runtime) if runtime else None)
    try:
        plans = [
            (one, images.plan_for(one, repository=repository or REPOSITORY, push=push))
            for one in services
        ]
        made: dict[str, Built] = {}
        for _, plan in plans:
            if not dry_run and str(plan.target) not in made:
                made[str(plan.target)] = images.apply(plan)
    finally:
        images.close()
    rows = [_row(one, plan, made.get(str(plan.target))) for one, plan in plans]
    _print(rows, as_json=as_json)


def _chosen(document: Document, name: str) -> list[Service]:
    """The service of that name, else all that may run on AWS."""
    if name:
        try:
            return [document.service(name)]
        except KeyError:
            there = ", ".join(one.name for one in document.services)
            raise UsageError(f"no service is called {name!r}", hint=f"there are: {there}") from None
    found = [one for one in document.services if one.origin != "oscar" or one.placement.targets]
    if not found:
        raise UsageError(
            f"{document.file}: no service may run on AWS, so none needs an image of ours",
            hint="name one with --service to make its image anyway",
        )
    return found


def _row(service: Service, plan: ImagePlan, built: Built | None) -> dict[str, object]:
    return {
        "service": service.name,
        "source": plan.source.name,
        "image": str(plan.target),
        "action": plan.action,
        "steps": list(plan.steps),
        "why": plan.why,
        "through": plan.route,
        "runtime": plan.runtime,
        "digest": built.digest if built else plan.digest,
    }


def _print(rows: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        print_json({"images": rows})
        return
    columns = ("service", "source", "image", "action", "why")
    cells = [tuple(str(row[column]) for column in columns) for row in rows]
    console().print(table(columns, cells, folding=("source", "image", "why")))
