"""Document → canonical FDL text."""

from __future__ import annotations

from typing import Any, Final

from bridge.fdl import _oscar, _placement
from bridge.fdl._kinds import Plain
from bridge.fdl._records import Record
from bridge.fdl._storage import PROVIDERS
from bridge.fdl.model import Document, Service, StorageProvider, TargetSpec

__all__ = ["dump"]

_LINE_ENDS: Final = frozenset("\n\r\x85\u2028\u2029")


def dump(document: Document, *, reveal: bool = False) -> str:
    """FDL text that means the same document: defaults left out, scripts by their path.

    Secrets are written as `hidden` unless `reveal`; with it, `parse` of the text gives an equal
    document (`script_text` apart, when the scripts are not read).
    """
    import yaml  # noqa: PLC0415 - keeps `import bridge.fdl` light

    plain = {
        "functions": _functions(document, reveal),
        "storage_providers": _providers(document, reveal),
        "clusters": _clusters(document, reveal),
        "targets": _targets(document, reveal),
    }
    kept = {key: value for key, value in plain.items() if value}

    class Dumper(yaml.SafeDumper):
        """Quotes the line ends that YAML would read back as another one, and repeats no node."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    def quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = '"' if _LINE_ENDS & set(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, quoted)
    made = yaml.dump(kept, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=2**31)
    return str(made)


def _functions(document: Document, reveal: bool) -> dict[str, list[Plain]]:
    functions: dict[str, list[Plain]] = {}
    for service in document.services:
        functions.setdefault(service.origin, []).append(_service(service, reveal))
    return functions


def _service(service: Service, reveal: bool) -> Plain:
    if service.origin == "aws":
        from bridge.fdl._aws import dump as dump_aws  # noqa: PLC0415 - most files have none

        return dump_aws(service, reveal)
    plain = _oscar.dump(service, reveal)
    return {service.pin: plain} if service.origin == "oscar" else plain


def _providers(document: Document, reveal: bool) -> dict[str, dict[str, Plain]]:
    found: dict[str, dict[str, Plain]] = {}
    for ref, provider in document.providers.items():
        found.setdefault(ref.type, {})[ref.id] = _provider(provider, reveal)
    return found


def _provider(provider: StorageProvider, reveal: bool) -> Plain:
    kind: Any = PROVIDERS.by_name[provider.ref.type].kind
    record: Record = kind.kind
    return record.dump({**provider.settings, **provider.secrets}, reveal)


def _clusters(document: Document, reveal: bool) -> dict[str, Plain]:
    return {
        name: _oscar.CLUSTER.dump(cluster, reveal) for name, cluster in document.clusters.items()
    }


def _targets(document: Document, reveal: bool) -> dict[str, Plain]:
    declared = (spec for spec in document.targets.values() if not spec.implied)
    return {spec.name: _target(spec, reveal) for spec in declared}


def _target(spec: TargetSpec, reveal: bool) -> Plain:
    plain = _placement.TARGET.dump(spec, reveal)
    return {"kind": spec.kind, **plain}
