"""Makes manager.yaml, for those without Helm, of the chart in deploy/helm.

    python deploy/kubernetes/render.py

Rights and namespaces have files of their own. Needs the test extra: Helm as a library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from helm_python import Chart

CHART: Final = Path(__file__).parent.parent / "helm" / "oscar-bridge"
VALUES: Final = Path(__file__).with_name("values.yaml")
FILE: Final = Path(__file__).with_name("manager.yaml")

_HEAD: Final = "# The chart in deploy/helm, rendered with values.yaml by render.py.\n"
_KINDS: Final = frozenset({"Deployment", "PersistentVolumeClaim", "Service"})
_HELMS: Final = frozenset({"app.kubernetes.io/managed-by", "helm.sh/chart"})


def render(values: Mapping[str, Any], *, name: str, namespace: str) -> dict[str, str]:
    """The texts of the chart's templates."""
    with Chart.load(CHART) as chart:
        return chart.render(dict(values), name=name, namespace=namespace)


def objects(texts: Mapping[str, str], *, plain: bool = False) -> list[dict[str, Any]]:
    """The objects in these texts; with `plain` only the manager's own, without Helm's marks."""
    manifests = [text for name, text in sorted(texts.items()) if name.endswith(".yaml")]
    found = [one for text in manifests for one in yaml.safe_load_all(text) if one]
    if not plain:
        return found
    return [_without_helm(one, "oscar") for one in found if one["kind"] in _KINDS]


def _without_helm(one: dict[str, Any], namespace: str) -> dict[str, Any]:
    metadata = {key: value for key, value in one["metadata"].items() if key != "annotations"}
    made = {**one, "metadata": {**metadata, "namespace": namespace}}
    for part in (made, made["spec"].get("template")):
        if part:
            labels = part["metadata"]["labels"]
            kept = {key: value for key, value in labels.items() if key not in _HELMS}
            part["metadata"]["labels"] = kept
    return made


def main() -> None:
    """Write the file."""
    values = yaml.safe_load(VALUES.read_text())
    made = objects(render(values, name="oscar-bridge", namespace="oscar"), plain=True)
    FILE.write_text(_HEAD + yaml.safe_dump_all(made, sort_keys=False))


if __name__ == "__main__":
    main()
