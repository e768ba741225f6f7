"""Findings of cdk-nag that are as they should be, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

from cdk.permissions import Statement

__all__ = ["acknowledge", "acknowledge_wildcards"]

_PACK: Final = "AwsSolutions"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Say why rules of AWS Solutions (`S1`, `IAM5`, …) do not apply to a construct and its own."""
    rules = [Acknowledgment(id=f"{_PACK}-{rule}", reason=why) for rule, why in reasons.items()]
    Validations.of(construct).acknowledge(*rules)


def acknowledge_wildcards(construct: IConstruct, statements: Sequence[Statement], why: str) -> None:
    """Say why a role's resources end in what may be anything."""
    wide = {name for one in statements for name in one.resources if "*" in name}
    acknowledge(construct, {f"IAM5[Resource::{name}]": why for name in sorted(wide)})
