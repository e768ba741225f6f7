"""Two templates compared; what of a template depends on what. Pure: values in, values out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.deploy.model import Action, Template

_ATTRIBUTES: Final = ("Properties",)
# CloudFormation refuses an update that changes nothing else; these come with the next change.
QUIET: Final = ("DeletionPolicy", "UpdateReplacePolicy", "DependsOn")
_SECTIONS: Final = ("Parameters", "Outputs", "Transform")
_VARIABLE: Final = re.compile(r"\$\{([^!}][^}]*)\}")
_PLACEHOLDER: Final = "OscarBridgeNothing"
_EMPTY: Final = {_PLACEHOLDER: {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
# Taking one of these out and putting it back would lose or orphan what it holds.
_KEPT_TYPES: Final = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::ECR::Repository",
        "AWS::EFS::FileSystem",
        "AWS::S3::Bucket",
        "AWS::SecretsManager::Secret",
    }
)
# The property that holds the name that a thing has in its account, by type.
NAMES: Final[Mapping[str, str]] = {
    "AWS::Batch::ComputeEnvironment": "ComputeEnvironmentName",
    "AWS::Batch::JobDefinition": "JobDefinitionName",
    "AWS::Batch::JobQueue": "JobQueueName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SSM::Parameter": "Name",
    "AWS::SecretsManager::Secret": "Name",
}

Properties = tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class ResourceDiff:
    """How one resource differs: (path, before, after) of each property, None for absent."""

    logical: str
    type: str
    action: Action
    name: str
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class TemplateDiff:
    """How two templates differ. `quiet` are differences that make no update by themselves."""

    resources: tuple[ResourceDiff, ...] = ()
    sections: Properties = ()
    quiet: Properties = ()

    def __bool__(self) -> bool:
        return bool(self.resources or self.sections)


def resources_of(template: Template) -> Mapping[str, Mapping[str, Any]]:
    """The resources of a template by logical id."""
    found: Mapping[str, Mapping[str, Any]] = template.get("Resources") or {}
    return found


def name_of(logical: str, resource: Mapping[str, Any]) -> str:
    """The name that a resource is given, else its logical id."""
    return given_name(resource) or logical


def given_name(resource: Mapping[str, Any]) -> str:
    """The literal name that a template gives to a resource, "" when CloudFormation makes one."""
    named = (resource.get("Properties") or {}).get(NAMES.get(str(resource.get("Type")), ""))
    return named if isinstance(named, str) else ""


def compare(before: Template, after: Template) -> TemplateDiff:
    """What has to change so that `before` becomes `after`; metadata does not count."""
    old, new = resources_of(before), resources_of(after)
    found: list[ResourceDiff] = []
    quiet: list[tuple[str, Any, Any]] = []
    for logical in [*new, *(one for one in old if one not in new)]:
        one = _resource(logical, old.get(logical), new.get(logical))
        if one is not None:
            found.append(one)
        elif logical in old:
            quiet += [
                (f"{logical}.{key}", old[logical].get(key), new[logical].get(key))
                for key in QUIET
                if old[logical].get(key) != new[logical].get(key)
            ]
    sections = tuple(
        row for name in _SECTIONS for row in _walk(name, before.get(name), after.get(name))
    )
    return TemplateDiff(tuple(found), sections, tuple(quiet))


def _resource(
    logical: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> ResourceDiff | None:
    if new is None:
        assert old is not None
        return ResourceDiff(logical, str(old["Type"]), "delete", name_of(logical, old))
    name, kind = name_of(logical, new), str(new["Type"])
    if old is None:
        return ResourceDiff(logical, kind, "create", name)
    if old["Type"] != new["Type"]:
        return ResourceDiff(logical, kind, "replace", name, (("Type", old["Type"], kind),))
    rows = tuple(_walk("", old.get("Properties"), new.get("Properties")))
    rows += tuple(_walk("Condition", old.get("Condition"), new.get("Condition")))
    if not rows:
        return None
    more = tuple(row for key in QUIET for row in _walk(key, old.get(key), new.get(key)))
    return ResourceDiff(logical, kind, "update", name, rows + more)


def _walk(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The innermost places where two values differ."""
    if old == new:
        return
    left, right = _branches(old), _branches(new)
    if left is None or right is None:
        yield path, old, new
        return
    for key in [*right, *(one for one in left if one not in right)]:
        inner = f"{path}.{key}" if path else key
        yield from _walk(inner, left.get(key), right.get(key))


def _branches(value: Any) -> Mapping[str, Any] | None:
    """A value's parts by name: a map's, or those of a list of tags or of maps.

    None for what is one value.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return None if _is_function(value) else value
    if isinstance(value, list) and value and all(_is_pair(one) for one in value):
        return {str(one.get("Key", one.get("Name"))): one["Value"] for one in value}
    if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        return {str(number): one for number, one in enumerate(value)}
    return None


def _is_function(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and all(key == "Ref" or key.startswith("Fn::") for key in value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) in ({"Key", "Value"}, {"Name", "Value"})


def references(value: Any) -> set[str]:
    """The logical ids (and parameters) that a part of a template refers to."""
    if isinstance(value, list):
        return {name for item in value for name in references(item)}
    if not isinstance(value, Mapping):
        return set()
    if _is_function(value):
        ((name, argument),) = value.items()
        if name == "Ref":
            return {str(argument)}
        if name == "Fn::GetAtt":
            return {str(argument).partition(".")[0] if isinstance(argument, str) else argument[0]}
        if name == "Fn::Sub":
            return _substituted(argument)
    return {name for item in value.values() for name in references(item)}


def _substituted(argument: Any) -> set[str]:
    text, given = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])
    named = {one.partition(".")[0] for one in _VARIABLE.findall(text)} - set(given)
    return named | references(given)


def dependents(template: Template, taken: frozenset[str]) -> frozenset[str]:
    """Those logical ids with all that cannot be without them."""
    all_of_them = resources_of(template)
    needs = {name: references(one.get("Properties")) for name, one in all_of_them.items()}
    found = set(taken)
    while more := {name for name, needed in needs.items() if name not in found and needed & found}:
        found |= more
    return frozenset(found & set(all_of_them))


def without(template: Template, taken: frozenset[str]) -> Template:
    """The template without those resources and what depends on them; never empty."""
    gone = dependents(template, taken)
    kept = {
        name: _undepend(one, gone)
        for name, one in resources_of(template).items()
        if name not in gone
    }
    outputs = template.get("Outputs") or {}
    told = {name: one for name, one in outputs.items() if not references(one) & gone}
    rest = {name: one for name, one in template.items() if name != "Outputs"}
    return {**rest, "Resources": kept or _EMPTY, **({"Outputs": told} if told else {})}


def _undepend(resource: Mapping[str, Any], gone: frozenset[str]) -> Mapping[str, Any]:
    if "DependsOn" not in resource:
        return resource
    named = resource["DependsOn"]
    kept = [one for one in ([named] if isinstance(named, str) else named) if one not in gone]
    rest = {key: value for key, value in resource.items() if key != "DependsOn"}
    return {**rest, "DependsOn": kept} if kept else rest


def holds_data(template: Template, logical: str) -> bool:
    """Whether a resource keeps something that must outlive it."""
    one = resources_of(template)[logical]
    return one.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate", "Snapshot") or (
        one["Type"] in _KEPT_TYPES
    )


def services_of(template: Template, prefix: str) -> tuple[str, ...]:
    """The services that a template deploys, by the parameters that describe them."""
    start = f"/{prefix}/services/"
    named = (
        given_name(one)
        for one in resources_of(template).values()
        if one.get("Type") == "AWS::SSM::Parameter"
    )
    return tuple(sorted(name.removeprefix(start) for name in named if name.startswith(start)))
