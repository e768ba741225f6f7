"""`ls`: what the stacks have written down, and what Lambda and Batch say of it."""

from __future__ import annotations

from tests.operate.world import World, write_down


def test_ls_shows_every_service_with_its_sides(world: World) -> None:
    found = {one["service"]: one for one in world.ok("ls")["services"]}
    assert set(found) == {s.name for s in world.document.services}
    shout, count, slow = found["shout"], found["count"], found["slow"]
    assert (shout["state"], shout["memory"], shout["timeout"]) == ("ready", [256], 60)
    assert shout["images"] == ["oscar-bridge/busybox:local"]
    assert (count["function"], count["memory"], count["definition"]) == ("", [512], "count")
    assert slow["memory"] == [256, 512]
    assert {one["deployment"] for one in found.values()} == {"day-two"}


def test_ls_is_a_table_for_people(world: World) -> None:
    done = world.run("ls")
    assert done.status == 0, done.err
    line = next(line for line in done.out.splitlines() if line.split()[:1] == ["count"])
    assert "512 MB" in line and "ready" in line and "aws-batch" in line


def test_ls_names_what_was_deleted_by_hand(world: World) -> None:
    gone = world.document.service("broken")
    made = world.client("lambda").get_function_configuration(FunctionName="broken")
    world.client("lambda").delete_function(FunctionName="broken")
    try:
        found = {one["service"]: one["state"] for one in world.ok("ls")["services"]}
    finally:
        world.targets["aws-lambda"].deploy([gone])
    assert found["broken"] == "function broken is gone"
    assert found["shout"] == "ready"
    assert made["FunctionName"] == "broken"


def test_ls_of_a_prefix_without_services_says_so(world: World) -> None:
    done = world.run("ls", "--prefix", "nothing-here")
    assert done.status == 0
    assert "no services are deployed on AWS us-east-1 (prefix nothing-here)" in done.out
    assert world.ok("ls", "--prefix", "nothing-here")["services"] == []


def test_a_service_that_is_not_there_names_those_that_are(world: World) -> None:
    said = world.run("logs", "shoot").failed(1)
    assert "no service 'shoot' is deployed" in said
    assert "shout" in said


def test_a_parameter_that_makes_no_sense_is_named(world: World) -> None:
    ssm, name = world.client("ssm"), "/other/services/x"
    ssm.put_parameter(Name=name, Value="not json", Type="String", Overwrite=True)
    said = world.run("ls", "--prefix", "other").failed(1)
    assert name in said


def test_an_impossible_prefix_is_wrong_usage(world: World) -> None:
    assert "--prefix" in world.run("ls", "--prefix", "Not_A_Bucket").failed(2)


def test_a_profile_that_is_not_there_is_named(world: World) -> None:
    assert "nobody" in world.run("ls", "--profile", "nobody").failed(1)


def test_what_is_written_down_twice_is_the_same(world: World) -> None:
    before = world.ok("ls")
    write_down(world.account, world.document, world.document.service("shout"))
    assert world.ok("ls") == before
