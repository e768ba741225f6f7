"""AWS::S3::Bucket: the settings that the emulator drops, and a delete that spares objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from xml.sax.saxutils import escape

from bridge.local.aws.stacks._api import Api, Json

Tree = dict[str, Any] | list[Any] | str | int | bool

_AGES: Final = {
    "ExpirationInDays": ("Expiration", "Days"),
    "ExpirationDate": ("Expiration", "Date"),
    "ExpiredObjectDeleteMarker": ("Expiration", "ExpiredObjectDeleteMarker"),
    "NoncurrentVersionExpirationInDays": ("NoncurrentVersionExpiration", "NoncurrentDays"),
}
_KEPT: Final = ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")
_FILTERS: Final = ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


class Buckets:
    """What comes after the emulator's own create and update, and in the place of its delete."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def settle(self, bucket: str, new: Json, old: Json) -> None:
        """Put the settings of a template, and take away what it no longer says."""
        for name, (setting, document) in _SETTINGS.items():
            if name in new:
                if body := document(new[name] or {}):
                    self._api.bucket("PUT", bucket, setting, body)
            elif name in old:
                self._api.bucket("DELETE", bucket, setting)

    def delete(self, bucket: str, _: Json, *__: Any) -> None:
        """DeleteBucket: refused while there are objects, nothing when it is gone."""
        self._api.bucket("DELETE", bucket)


def lifecycle(configuration: Json) -> str:
    """PutBucketLifecycleConfiguration's body."""
    rules = [_rule(one) for one in configuration.get("Rules") or ()]
    return xml("LifecycleConfiguration", {"Rule": rules})


def _rule(given: Json) -> Json:
    rule: Json = {"ID": given["Id"]} if given.get("Id") else {}
    rule["Status"] = given.get("Status", "Enabled")
    rule["Filter"] = _filter(given)
    for name, (group, field) in _AGES.items():
        if name in given:
            rule.setdefault(group, {})[field] = given[name]
    for name in _KEPT:
        if name in given:
            rule[name] = given[name]
    moves = [*(given.get("Transitions") or ()), *_some(given.get("Transition"))]
    rule["Transition"] = [_move(one) for one in moves]
    return rule


def _filter(given: Json) -> Json:
    wanted: Json = {name: given[name] for name in _FILTERS if name in given}
    tags: list[Json] = given.get("TagFilters") or []
    if not tags and len(wanted) < 2:
        return wanted or {"Prefix": ""}
    if len(tags) == 1 and not wanted:
        return {"Tag": tags[0]}
    return {"And": wanted | {"Tag": tags}}


def _move(given: Json) -> Json:
    when = "Days" if "TransitionInDays" in given else "Date"
    value = given.get("TransitionInDays", given.get("TransitionDate"))
    return {when: value, "StorageClass": given["StorageClass"]}


def encryption(configuration: Json) -> str:
    """PutBucketEncryption's body; "" for AWS's own key of KMS, which is not here."""
    rules = []
    for one in configuration.get("ServerSideEncryptionConfiguration") or ():
        default = dict(one.get("ServerSideEncryptionByDefault") or {})
        if "kms" in str(default.get("SSEAlgorithm")) and "KMSMasterKeyID" not in default:
            return ""
        rule: Json = {"ApplyServerSideEncryptionByDefault": default} if default else {}
        if "BucketKeyEnabled" in one:
            rule["BucketKeyEnabled"] = one["BucketKeyEnabled"]
        rules.append(rule)
    return xml("ServerSideEncryptionConfiguration", {"Rule": rules})


def ownership(configuration: Json) -> str:
    """PutBucketOwnershipControls' body."""
    return xml("OwnershipControls", {"Rule": list(configuration.get("Rules") or ())})


def tagging(tags: Iterable[Json]) -> str:
    """PutBucketTagging's body."""
    return xml("Tagging", {"TagSet": {"Tag": [dict(one) for one in tags]}})


_SETTINGS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "LifecycleConfiguration": ("lifecycle", lifecycle),
    "BucketEncryption": ("encryption", encryption),
    "OwnershipControls": ("ownershipControls", ownership),
    "Tags": ("tagging", tagging),
}


def xml(name: str, value: Tree) -> str:
    """A tree as XML; a list is an element per entry."""
    if isinstance(value, list):
        return "".join(xml(name, one) for one in value)
    if isinstance(value, dict):
        return f"<{name}>{''.join(xml(key, one) for key, one in value.items())}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def _some(value: Any) -> list[Any]:
    return [value] if value else []
