"""A plan, done: one step after the other, each of which may be done again."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from bridge.deploy._assets import send
from bridge.deploy._faults import asked
from bridge.deploy._history import History
from bridge.deploy._images import Images, service_images
from bridge.deploy._lock import locked
from bridge.deploy._secrets import delete_secret, write_secret
from bridge.deploy._stacks import Pace, StackMoved, Stacks
from bridge.deploy._templates import resources_of, without
from bridge.deploy.model import (
    AssetStep,
    BucketStep,
    ImageStep,
    Plan,
    SecretStep,
    Stack,
    StackStep,
    Step,
)
from bridge.deploy.watch import Silent, Watch
from bridge.errors import PermanentError, TargetUnavailable
from bridge.targets.aws.account import Account

__all__ = ["Applied", "apply"]

_TRIES: Final = 5
_THREADS: Final = 8
_FUNCTION: Final = "AWS::Lambda::Function"
_DOING: Final = {"create": "creating", "update": "updating", "delete": "deleting"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: the plan as it was in the end, and its entry in the history (0: none)."""

    plan: Plan
    number: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return not self.plan.empty


def apply(
    plan: Plan,
    account: Account,
    *,
    replan: Callable[[], Plan],
    agree: Callable[[Plan], bool] = lambda _: True,
    watch: Watch | None = None,
    pace: Pace | None = None,
    images: Images = service_images,
) -> Applied:
    """Do what a plan says; stopped in the middle, doing it again goes on from there.

    Somebody else's change of the same things is waited for. The plan is made again by `replan`
    when what it saw is no longer so; when the new one means something else, `agree` is asked.
    PermanentError names the resource that failed and why; CloudFormation has its stack back in
    the last good state then.
    """
    watch, pace = watch or Silent(), pace or Pace()
    with locked(account, plan.name, watch, sleep=pace.sleep) as shared:
        waited = shared
        stacks = Stacks(account, watch, spool=plan.spool, pace=pace)
        for _ in range(_TRIES):
            if _must_replan(stacks, plan, waited=waited):
                plan = _again(plan, replan, agree, watch)
            try:
                _Execution(account, stacks, watch, pace, images).run(plan)
            except StackMoved as moved:
                watch.note(moved.message)
                waited = True
                continue
            return Applied(plan, _record(account, plan, watch))
    raise TargetUnavailable(f"others keep changing the stacks of {plan.name}")


def _must_replan(stacks: Stacks, plan: Plan, *, waited: bool) -> bool:
    """Whether a stack is not as the plan saw it; waits for those that are being changed."""
    resting = [stacks.rest(step.stack.name) for step in plan.stacks]
    if waited or any(resting):
        return True
    for step in plan.stacks:
        found = stacks.look(step.stack.name)
        seen = "" if found is None or found.status == "DELETE_COMPLETE" else found.seen
        if seen != step.seen:
            return True
    return False


def _again(
    plan: Plan, replan: Callable[[], Plan], agree: Callable[[Plan], bool], watch: Watch
) -> Plan:
    new = replan()
    if not new.differs(plan):
        return new
    watch.note("what is deployed has changed in the meantime, so the plan was made again")
    if not agree(new):
        raise PermanentError("the new plan was not agreed to; nothing was changed")
    return new


class _Execution:
    def __init__(
        self, account: Account, stacks: Stacks, watch: Watch, pace: Pace, images: Images
    ) -> None:
        self._account = account
        self._stacks = stacks
        self._watch = watch
        self._pace = pace
        self._images = images

    def run(self, plan: Plan) -> None:
        for step in plan.steps:
            if not isinstance(step, StackStep):
                self._prepare(step)
        for stack in plan.stacks:
            if stack.first:
                self._take_out(stack)
        for stack in plan.stacks:
            if stack.action != "none":
                self._stack(stack)

    def _prepare(self, step: Step) -> None:
        change = step.changes[0]
        self._watch.step(f"{change.kind} {change.name}")
        if isinstance(step, BucketStep):
            self._bucket(step.name)
        elif isinstance(step, ImageStep):
            with self._images(self._account) as maker:
                maker.apply(step.plan)
        elif isinstance(step, SecretStep):
            if step.action == "delete":
                delete_secret(self._account, step.name)
            else:
                write_secret(self._account, step)
        elif isinstance(step, AssetStep):
            send(self._account, step.asset)

    def _bucket(self, name: str) -> None:
        """A private bucket that only takes encrypted connections is what the CDK makes too."""
        self._account.ensure_bucket(name)
        s3 = self._account.client("s3")
        with asked(self._account, "s3", f"bucket {name}"):
            s3.put_public_access_block(
                Bucket=name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )

    def _take_out(self, step: StackStep) -> None:
        """Update the deployed template to one without what has to go first."""
        name = step.stack.name
        self._unstick(step)
        deployed = self._stacks.template(name) or {}
        there = frozenset(step.first) & set(resources_of(deployed))
        if there:
            self._watch.step(f"stack {name}: taking out {', '.join(sorted(there))}")
            self._stacks.update(step.stack, without(deployed, there))

    def _stack(self, step: StackStep) -> None:
        name = step.stack.name
        self._watch.step(f"stack {name}: {_DOING[step.action]}")
        if step.action == "delete":
            self._stacks.delete(name)
            return
        self._unstick(step)
        if step.action == "create":
            self._clear(name)
            self._stacks.create(step.stack)
        else:
            self._stacks.update(step.stack)
        self._wait_for_functions(name)

    def _clear(self, name: str) -> None:
        """Delete what an earlier try left; never a stack that somebody has made since."""
        found = self._stacks.look(name)
        if found is None or found.status == "DELETE_COMPLETE":
            return
        if not (found.wrecked or found.absent):
            raise StackMoved(f"stack {name} was made by somebody else in the meantime")
        self._stacks.delete(name)

    def _unstick(self, step: StackStep) -> None:
        found = self._stacks.look(step.stack.name)
        if found is not None and found.stuck:
            self._stacks.unstick(step.stack.name)

    def _wait_for_functions(self, stack: str) -> None:
        """Until each function of a stack can be invoked."""
        physical = self._stacks.physical(stack).values()
        names = [name for kind, name, _ in physical if kind == _FUNCTION and name]
        self._account.client("lambda")
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._wait_for_function, names))

    def _wait_for_function(self, name: str) -> None:
        client = self._account.client("lambda")
        for _ in self._pace.beats():
            with asked(self._account, "lambda", f"function {name}"):
                found = client.get_function_configuration(FunctionName=name)
            if found.get("State") == "Failed" or found.get("LastUpdateStatus") == "Failed":
                why = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason"
                raise PermanentError(f"function {name} cannot be started: {why}")
            # An inactive function, idle for weeks, wakes up when it is invoked.
            if found.get("State", "Active") != "Pending" and (
                found.get("LastUpdateStatus", "Successful") != "InProgress"
            ):
                return
        raise TargetUnavailable(f"function {name} is still not ready")


def _record(account: Account, plan: Plan, watch: Watch) -> int:
    """Write the state that stands now into the history, unless it is its last entry."""
    stacks: tuple[Stack, ...] = tuple(
        step.stack
        for step in plan.stacks
        if step.action != "delete" and step.stack.name != plan.base
    )
    history = History(account, plan.name)
    last = history.last()
    digests = {one.name: one.digest for one in stacks}
    if last is not None and last.digests == digests and not plan.restores:
        return last.number
    if last is None and not stacks:
        return 0
    number = history.write(stacks, _who(), restores=plan.restores)
    if not number:
        watch.note(f"there is no bucket {account.bucket}, so this apply cannot be rolled back to")
    return number


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()
