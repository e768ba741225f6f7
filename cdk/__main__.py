"""The CDK app: `"app": "python -m cdk"` in cdk.json.

Context: fdl, name, prefix, stacks, images, policy, region, vpc, alarms, tags, minio. Without fdl
there is only the base stack, which is what `cdk bootstrap` needs to know where it is wanted.
Problems are said on standard error, those of the file with their places; the exit status is the
error's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from bridge.errors import BridgeError, MissingToolError, UsageError
from bridge.fdl import load
from bridge.fdl.model import Document, ProviderRef, StorageProvider
from bridge.operate.session import account_for
from bridge.secret import Secret
from bridge.targets.aws import Account
from cdk.facts import Facts, gather
from cdk.images import images_of
from cdk.names import Base
from cdk.selection import select
from cdk.settings import Settings

# Major versions whose age is not to be spoken of; jsii wants them one by one.
_NODES: Final = range(18, 40)


def main() -> int:
    """Synthesise into CDK_OUTDIR; the exit status."""
    try:
        _synthesise(_context())
    except BridgeError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"{error}{hint}", file=sys.stderr)
        return error.exit_status
    return 0


def _context() -> dict[str, object]:
    """What the CDK CLI passes on; much of it comes in a file."""
    context = json.loads(os.environ.get("CDK_CONTEXT_JSON") or "{}")
    if overflow := os.environ.get("CONTEXT_OVERFLOW_LOCATION"):
        context |= json.loads(Path(overflow).read_text(encoding="utf-8"))
    return dict(context)


def _synthesise(context: dict[str, object]) -> None:
    if shutil.which("node") is None:
        raise MissingToolError(
            "the CDK needs Node.js, which is not on PATH", hint="install Node.js"
        )
    settings = Settings.read(context)
    document = _document(settings)
    account = _account(settings, document)
    selection = select(document, account.region, settings.policy)
    known = context.get("facts")
    facts = Facts.parse(str(known)) if known else gather(account, settings, selection.buckets())
    base = Base(settings.prefix, facts.account, facts.region, facts.partition)
    images = images_of(selection, settings, base, account)
    _quiet()
    try:
        from cdk.app import build_app  # noqa: PLC0415  takes seconds; what went wrong is said first
    except ImportError as error:
        raise MissingToolError(
            f"the CDK is not installed: {error}", hint="pip install 'oscar-bridge[deploy]'"
        ) from error
    build_app(selection, settings, facts, images).synth()


def _document(settings: Settings) -> Document:
    if not settings.only_base:
        document = load(settings.fdl)
        return replace(document, providers={**document.providers, **_given(settings)})
    print("no FDL file is named (-c fdl=FILE): this is the base stack alone", file=sys.stderr)
    return Document("", ())


def _given(settings: Settings) -> dict[ProviderRef, StorageProvider]:
    """The provider that is named outside of the file. That it has keys is known, not which."""
    if not settings.minio:
        return {}
    ref, keys = ProviderRef("minio"), dict.fromkeys(("access_key", "secret_key"), Secret(""))
    return {ref: StorageProvider(ref, settings.minio, keys)}


def _account(settings: Settings, document: Document) -> Account:
    """Of the settings, the CDK CLI, AWS's variables and files; of the file at last."""
    region = settings.region or os.environ.get("CDK_DEFAULT_REGION", "")
    profile = os.environ.get("AWS_PROFILE", "")
    try:
        return account_for(profile=profile, region=region, prefix=settings.prefix)
    except UsageError:
        if settings.only_base:
            raise
        named = document.targets["aws-lambda"].region
        return account_for(profile=profile, region=named, prefix=settings.prefix)


def _quiet() -> None:
    """No frame of exclamation marks about Node's age, and no check of what our tests check.

    The CDK's own check of templates takes twice as long as all else; CDK_VALIDATION=true has it.
    """
    os.environ.setdefault("CDK_VALIDATION", "false")
    os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = ",".join(map(str, _NODES))
    for name in ("DEPRECATED", "UNTESTED"):
        os.environ[f"JSII_SILENCE_WARNING_{name}_NODE_VERSION"] = "1"


if __name__ == "__main__":
    sys.exit(main())
