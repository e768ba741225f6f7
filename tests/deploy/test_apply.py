"""Plan and apply against the real local endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.deploy import Applied, Assembly, Plan, Silent, apply, plan
from bridge.errors import PermanentError
from tests.deploy.assemblies import PACE, Bench, definition, function, queue, role


class Notes(Silent):
    """Keeps all that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self.events: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def event(self, text: str) -> None:
        self.events.append(text)


def planned(bench: Bench, assembly: Assembly) -> Plan:
    return plan(assembly, bench.account, pace=PACE)


def applied(bench: Bench, assembly: Assembly, watch: Any = None) -> Applied:
    """Plan and apply; the plan after it must be empty."""
    done = apply(
        planned(bench, assembly),
        bench.account,
        replan=lambda: planned(bench, assembly),
        watch=watch,
        pace=PACE,
    )
    after = planned(bench, assembly)
    assert after.empty, after.changes
    return done


def rows(made: Plan) -> dict[str, str]:
    """Action by name of what changes."""
    return {one.name: one.action for one in made.changes if one.action != "none"}


def test_what_is_absent_is_created_and_then_there_is_nothing_to_do(bench: Bench) -> None:
    assembly = bench.assembly()
    first = planned(bench, assembly)
    assert not first.empty
    assert [step.stack.name for step in first.stacks] == [bench.prefix, bench.stack_name]
    assert set(rows(first).values()) == {"create"}
    watch = Notes()
    done = applied(bench, assembly, watch)
    assert done.number == 1
    assert bench.status() == "CREATE_COMPLETE"
    assert any("create complete" in line for line in watch.events)
    assert bench.client("sqs").get_queue_url(QueueName=f"{bench.prefix}-one-q")["QueueUrl"]
    again = applied(bench, assembly)
    assert not again.changed and again.number == 1


def test_a_change_shows_before_and_after_and_what_it_replaces(bench: Bench) -> None:
    applied(bench, bench.assembly())
    changed = bench.assembly(
        {
            **bench.one(VisibilityTimeout=77),
            "Job": definition(f"{bench.prefix}-other"),
            "More": queue(f"{bench.prefix}-more"),
        }
    )
    made = planned(bench, changed)
    by_name = {one.name: one for one in made.changes}
    row = by_name[f"{bench.prefix}-one-q"]
    assert row.action == "update"
    assert [(p.path, p.before, p.after) for p in row.properties] == [
        ("VisibilityTimeout", "", "77")
    ]
    assert by_name[f"{bench.prefix}-other"].action == "replace"
    assert by_name[f"{bench.prefix}-more"].action == "create"
    assert by_name[bench.prefix].action == "none"
    assert not bench.client("cloudformation").list_change_sets(StackName=bench.stack_name)[
        "Summaries"
    ]
    applied(bench, changed)
    removed = bench.assembly({"Told": bench.one()["Told"]})
    assert rows(planned(bench, removed))[f"{bench.prefix}-more"] == "delete"
    applied(bench, removed)
    there = bench.client("sqs").list_queues(QueueNamePrefix=f"{bench.prefix}-more")
    assert not there.get("QueueUrls")


def test_code_is_sent_before_the_function_that_needs_it(bench: Bench) -> None:
    folder = bench.base(bench.new())
    code = folder.code("def handler(event, context): return {'said': event}")
    name = f"{bench.prefix}-fn"
    folder.stack(
        bench.stack_name,
        {"Role": role(), "Fn": function(name, code)},
        deployment=bench.name,
        after=(bench.prefix,),
    )
    assembly = folder.read(bench.name)
    kinds = [one.kind for one in planned(bench, assembly).changes]
    assert kinds.index("bucket") < kinds.index("asset") < kinds.index("stack")
    applied(bench, assembly)
    answer = bench.client("lambda").invoke(FunctionName=name, Payload=b'{"a": 1}')
    assert b'"a": 1' in answer["Payload"].read()


def test_a_function_deleted_by_hand_is_made_again(bench: Bench) -> None:
    folder = bench.base(bench.new())
    code = folder.code("def handler(event, context): return 1")
    name = f"{bench.prefix}-fn"
    mapping = {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": "Fn"},
            "Qualifier": "$LATEST",
            "MaximumRetryAttempts": 0,
        },
    }
    resources = {
        "Role": role(),
        "Fn": function(name, code),
        "Never": mapping,
        "Job": definition(f"{bench.prefix}-job"),
    }
    folder.stack(bench.stack_name, resources, deployment=bench.name, after=(bench.prefix,))
    assembly = folder.read(bench.name)
    applied(bench, assembly)
    bench.client("lambda").delete_function(FunctionName=name)
    batch = bench.client("batch")
    batch.deregister_job_definition(jobDefinition=f"{bench.prefix}-job:1")
    made = planned(bench, assembly)
    assert rows(made) == {
        bench.stack_name: "update",
        name: "create",
        f"{bench.prefix}-job": "create",
    }
    assert "by hand" in {one.name: one for one in made.changes}[name].why
    applied(bench, assembly)
    assert bench.client("lambda").get_function(FunctionName=name)
    config = bench.client("lambda").get_function_event_invoke_config(
        FunctionName=name, Qualifier="$LATEST"
    )
    assert config["MaximumRetryAttempts"] == 0
    found = batch.describe_job_definitions(jobDefinitionName=f"{bench.prefix}-job", status="ACTIVE")
    assert len(found["jobDefinitions"]) == 1


def test_names_of_others_are_refused_before_anything_is_done(bench: Bench) -> None:
    bench.client("sqs").create_queue(QueueName=f"{bench.prefix}-one-q")
    with pytest.raises(PermanentError) as refused:
        planned(bench, bench.assembly())
    assert f"{bench.prefix}-one-q exists already" in refused.value.message
    assert "did not make it" in refused.value.message
    assert refused.value.hint
    assert bench.status() == "" and bench.status(bench.prefix) == ""


def test_a_stack_of_others_is_refused(bench: Bench) -> None:
    cfn = bench.client("cloudformation")
    template = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
    cfn.create_stack(StackName=bench.stack_name, TemplateBody=template)
    with pytest.raises(PermanentError, match="did not make") as refused:
        planned(bench, bench.assembly())
    assert bench.stack_name in refused.value.message


def test_a_stack_that_the_file_needs_no_more_is_deleted(bench: Bench) -> None:
    folder = bench.base(bench.new())
    for number in (1, 2):
        resources = {"Q": queue(f"{bench.prefix}-{number}")}
        folder.stack(f"{bench.stack_name}-{number}", resources, deployment=bench.name)
    applied(bench, folder.read(bench.name))
    # All services move into one stack, and keep their names.
    both = {f"Q{n}": queue(f"{bench.prefix}-{n}") for n in (1, 2)}
    made = bench.base(bench.new()).stack(f"{bench.stack_name}-2", both, deployment=bench.name)
    applied(bench, made.read(bench.name))
    assert bench.status(f"{bench.stack_name}-1") in ("", "DELETE_COMPLETE")


def test_names_that_move_between_stacks_leave_the_old_one_first(bench: Bench) -> None:
    def spread(one: str, two: str) -> Assembly:
        folder = bench.base(bench.new())
        for number, name in ((1, one), (2, two)):
            resources = {"Q": queue(f"{bench.prefix}-{name}")}
            folder.stack(f"{bench.stack_name}-{number}", resources, deployment=bench.name)
        return folder.read(bench.name)

    applied(bench, spread("a", "b"))
    applied(bench, spread("b", "a"))
    physical = bench.client("cloudformation").describe_stack_resource(
        StackName=f"{bench.stack_name}-1", LogicalResourceId="Q"
    )
    assert physical["StackResourceDetail"]["PhysicalResourceId"].endswith("-b")


def test_a_large_template_travels_by_url(bench: Bench) -> None:
    many = {f"Q{n}": queue(f"{bench.prefix}-{n}", Tags=[]) for n in range(400)}
    padding = {"Metadata": {"why": "x" * 40_000}}
    assembly = bench.assembly(many, sections=padding)
    applied(bench, assembly)
    found = bench.client("sqs").list_queues(QueueNamePrefix=f"{bench.prefix}-")
    assert len(found["QueueUrls"]) == 401
