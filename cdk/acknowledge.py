"""Findings of cdk-nag that are as they should be, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

__all__ = ["acknowledge"]

_PACK: Final = "AwsSolutions"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Say why rules of AWS Solutions (`S1`, `IAM5`, …) do not apply to a construct and its own."""
    rules = [Acknowledgment(id=f"{_PACK}-{rule}", reason=why) for rule, why in reasons.items()]
    Validations.of(construct).acknowledge(*rules)
