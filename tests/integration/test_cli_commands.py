"""The command against an API of real protos over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import image_pb2, instance_pb2, instance_service_pb2, network_pb2, volume_pb2
from typer.testing import CliRunner, Result

from cli.app import app
from svckit.errors import Aborted, FailedPrecondition, Internal, InvalidArgument, Unavailable
from tests.fakes.api import FakeApi, Script

MISSING = "00000000-0000-4000-8000-000000000000"
Run = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as fake:
        yield fake


@pytest.fixture
def run(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process; its spans are for other tests."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    for name in ("USER", "PROJECT", "ROLES", "DATA_DIR", "API_ADDRESS"):
        monkeypatch.delenv(f"PROTOSTAR_{name}", raising=False)
    place = ["--data-dir", str(tmp_path), "--api-address", api.address]
    return lambda *argv, **more: CliRunner().invoke(app, [*place, *argv], **more)


def process(api: FakeApi, data_dir: Path, *argv: str, **more: Any) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    place = ["--data-dir", str(data_dir), "--api-address", api.address]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PROTOSTAR_", "OTEL_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *place, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **more,
    )


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


# Names and ids


@pytest.mark.parametrize("text", ["web", "{uid}", "instances/{uid}", "{UID}"])
def test_an_instance_is_found_by_name_id_or_resource_name(api: FakeApi, run: Run, text: str) -> None:
    instance = api.instance("web")
    shown = ok(run("instance", "show", text.format(uid=instance.uid, UID=instance.uid.upper()), "--json"))
    assert json.loads(shown.stdout)["uid"] == instance.uid


def test_a_name_that_several_have_is_refused_with_their_ids(api: FakeApi, run: Run) -> None:
    both = [api.instance("web"), api.instance("web")]
    result = run("instance", "start", "web")
    assert result.exit_code == 1
    assert all(instance.uid in result.stderr for instance in both)
    assert [call.method for call in api.calls] == ["ListInstances"]


def test_a_name_that_nothing_has_is_refused_with_what_looks_like_it(api: FakeApi, run: Run) -> None:
    api.instance("webserver")
    result = run("instance", "stop", "websrver")
    assert result.exit_code == 1
    assert "no instance is called 'websrver'; did you mean 'webserver'?" in result.stderr
    assert "protostar instance list" in result.stderr


def test_a_name_with_quotes_is_looked_up_as_it_is(api: FakeApi, run: Run) -> None:
    instance = api.instance('say "hi" \\')
    assert json.loads(ok(run("--json", "instance", "show", 'say "hi" \\')).stdout)["uid"] == instance.uid


# Lists


def test_a_list_has_all_pages(api: FakeApi, run: Run) -> None:
    for place in range(1203):
        api.instance(f"vm-{place}")
    answer = json.loads(ok(run("instance", "list", "--json")).stdout)
    assert [entry["display_name"] for entry in answer["instances"]] == [f"vm-{place}" for place in range(1203)]
    assert answer["next_page_token"] == ""
    limited = json.loads(ok(run("instance", "list", "--json", "--limit", "7")).stdout)
    assert len(limited["instances"]) == 7


def test_a_list_is_one_line_an_entry_and_never_cut_for_a_program(api: FakeApi, run: Run) -> None:
    long = api.instance("n" * 250, ports=[instance_pb2.InstancePort(ip_addresses=["10.64.0.15", "fd00::1"])])
    heading, line = ok(run("instance", "list")).stdout.splitlines()
    assert heading.split() == ["NAME", "STATE", "POWER", "ADDRESSES", "SIZE", "HOST", "AGE", "ID"]
    assert "n" * 250 in line and "10.64.0.15, fd00::1" in line and line.rstrip().endswith(long.uid)


def test_what_guests_and_users_write_cannot_command_the_terminal(api: FakeApi, run: Run) -> None:
    api.instance("evil\x1b]0;title\x07\x1b[2Jname\n[bold]x")
    shown = ok(run("instance", "list")).stdout
    assert "\x1b" not in shown and "\x07" not in shown
    assert "[bold]x" in shown


def test_an_empty_list_says_what_to_do_and_leaves_stdout_empty(run: Run) -> None:
    result = ok(run("image", "list"))
    assert result.stdout == ""
    assert "protostar image import" in result.stderr


@pytest.mark.parametrize("noun", ["instance", "image", "network", "port", "volume", "operation", "host"])
def test_every_list_answers_in_json(run: Run, noun: str) -> None:
    collection = f"{noun}s"
    assert isinstance(json.loads(ok(run(noun, "list", "--json")).stdout)[collection], list)


# Operations


def test_create_sends_everything_and_follows_to_the_end(api: FakeApi, run: Run, tmp_path: Path) -> None:
    image = api.add("images", image_pb2.Image(display_name="guest", min_disk_gib=2, min_memory_mib=512))
    network = api.add("networks", network_pb2.Network(display_name="lan"))
    volume = api.add("volumes", volume_pb2.Volume(display_name="data"))
    script = tmp_path / "user-data"
    script.write_bytes(b"#!/bin/sh\n\xff")
    argv = ["--image", "guest", "--network", "lan", "--network", network.uid, "--volume", "data", "--vcpus", "2"]
    argv += ["--metadata", "role=web", "--metadata", "a=b=c", "--user-data", str(script), "--deadline", "90"]
    result = ok(run("instance", "create", "web", *argv))
    request = api.called("CreateInstance")
    wanted = request.instance
    assert wanted.image == image.name
    assert [port.network for port in wanted.ports] == [network.name, network.name]
    assert [entry.volume for entry in wanted.volumes] == [volume.name]
    assert dict(wanted.metadata) == {"role": "web", "a": "b=c"}
    assert wanted.user_data == b"#!/bin/sh\n\xff"
    assert (wanted.flavor.vcpus, wanted.flavor.memory_mib, wanted.flavor.root_gib) == (2, 512, 2)
    assert wanted.config_drive and not request.without_network
    assert request.request_id and request.HasField("deadline")
    assert result.stdout == "✓ web is ACTIVE, created in 3.00 s\n"
    assert [line.split()[:2] for line in result.stderr.splitlines()[1:]] == [
        ["✓", "claim"],
        ["✓", "backing"],
        ["✓", "launch"],
    ]


def test_a_running_commands_answer_in_json_is_the_operation(api: FakeApi, run: Run) -> None:
    api.instance("web")
    result = ok(run("instance", "start", "web", "--json"))
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    assert answer["done"] is True
    assert answer["metadata"]["state"] == "OPERATION_STATE_SUCCEEDED"
    assert answer["response"]["instance"]["vm_state"] == "VM_STATE_ACTIVE"


def test_without_waiting_the_operations_name_is_the_answer(api: FakeApi, run: Run) -> None:
    api.instance("web")
    result = ok(run("instance", "start", "web", "--no-wait"))
    assert result.stdout.strip() in api.stored["operations"]
    assert f"protostar operation wait {result.stdout.strip()}" in result.stderr
    assert "WatchOperation" not in [call.method for call in api.calls]


def test_a_failed_operation_names_step_reason_and_what_to_do(api: FakeApi, run: Run) -> None:
    api.instance("web")
    error = Internal("the guest died at once: no bootable device", reason="DOMAIN_DIED", metadata={"step": "launch"})
    api.script = Script(error=error)
    result = run("instance", "start", "web")
    (operation,) = api.stored["operations"]
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "start web failed at step launch" in result.stderr
    assert "DOMAIN_DIED: the guest died at once: no bootable device" in result.stderr
    assert "protostar instance console web" in result.stderr
    assert f"protostar trace {operation}" in result.stderr


def test_a_failed_operation_in_json_is_still_the_operation(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.script = Script(error=Internal("no", reason="DOMAIN_DIED"))
    result = run("instance", "start", "web", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["message"] == "no"


def test_an_api_that_goes_away_meanwhile_is_waited_for(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.breaks = 1
    assert "web is ACTIVE" in ok(run("instance", "start", "web")).stdout
    assert [call.method for call in api.calls].count("WatchOperation") == 2


def test_a_dry_run_shows_the_steps_and_changes_nothing(api: FakeApi, run: Run) -> None:
    api.instance("web")
    result = ok(run("instance", "start", "web", "--dry-run"))
    assert api.called("StartInstance").validate_only
    assert api.stored["operations"] == {}
    assert "backing" in result.stderr and "planned" in result.stderr
    assert "nothing was changed" in result.stdout


@pytest.mark.parametrize(
    ("argv", "method", "fields"),
    [
        (["start", "web", "--repair"], "StartInstance", {"repair": True, "on_conflict": 1}),
        (["start", "web", "--join"], "StartInstance", {"on_conflict": 2}),
        (["stop", "web"], "StopInstance", {"mode": instance_service_pb2.STOP_MODE_GRACEFUL}),
        (["stop", "web", "--force"], "StopInstance", {"mode": instance_service_pb2.STOP_MODE_FORCE}),
        (["reboot", "web"], "RebootInstance", {"mode": instance_service_pb2.REBOOT_MODE_SOFT}),
        (["reboot", "web", "--hard"], "RebootInstance", {"mode": instance_service_pb2.REBOOT_MODE_HARD}),
        (["delete", "web"], "DeleteInstance", {"validate_only": False}),
        (["lock", "web", "--reason", "careful"], "LockInstance", {"reason": "careful"}),
        (["unlock", "web"], "UnlockInstance", {"validate_only": False}),
    ],
)
def test_options_reach_the_request(
    api: FakeApi, run: Run, argv: list[str], method: str, fields: dict[str, Any]
) -> None:
    api.instance("web")
    ok(run("instance", *argv))
    request = api.called(method)
    assert {name: getattr(request, name) for name in fields} == fields
    assert request.request_id


def test_the_grace_of_a_stop_is_sent_and_its_outcome_told(api: FakeApi, run: Run) -> None:
    api.instance("web")
    result = ok(run("instance", "stop", "web", "--grace", "2.5"))
    assert api.called("StopInstance").grace_period.ToTimedelta().total_seconds() == 2.5
    assert result.stdout == "✓ web is STOPPED, stopped in 3.00 s, the guest shut itself down\n"


def test_update_keeps_the_metadata_that_is_not_named(api: FakeApi, run: Run) -> None:
    instance = api.instance("web", metadata={"keep": "1", "change": "1", "drop": "1"}, etag="e7")
    ok(run("instance", "update", "web", "--metadata", "change=2", "--unset", "drop", "--name", "www"))
    assert dict(instance.metadata) == {"keep": "1", "change": "2"}
    assert instance.display_name == "www"
    assert api.called("UpdateInstance").instance.etag == "e7"


def test_an_import_of_a_relative_path_sends_it_whole(api: FakeApi, run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    result = ok(run("image", "import", "guest", "disk.qcow2", "--property", "hw_disk_bus=virtio", "--sha256", "A" * 64))
    request = api.called("ImportImage")
    assert request.source == str(tmp_path / "disk.qcow2")
    assert request.sha256 == "a" * 64
    assert dict(request.image.properties) == {"hw_disk_bus": "virtio"}
    assert result.stdout == "✓ guest, imported in 3.00 s, qcow2, 13.0 MiB\n"


def test_volumes_and_networks_and_ports_live_and_go(api: FakeApi, run: Run) -> None:
    instance = api.instance("web")
    ok(run("network", "create", "lan", "--subnet", "10.64.0.0/12", "--dns", "10.64.0.3", "--gateway", "10.64.0.2"))
    ok(run("port", "create", "--network", "lan", "--ip", "10.64.0.15"))
    ok(run("volume", "create", "data", "--size", "3"))
    ok(run("volume", "attach", "data", "web"))
    (volume,) = api.stored["volumes"].values()
    (port,) = api.stored["ports"].values()
    assert volume.attachment.instance == instance.name
    assert api.called("CreateNetwork").network.subnets[0].dns == ["10.64.0.3"]
    assert port.network == api.called("CreateNetwork").network.name
    ok(run("volume", "detach", "data"))
    assert not volume.HasField("attachment")
    for argv in (["volume", "delete", "data"], ["port", "delete", port.uid], ["network", "delete", "lan"]):
        ok(run(*argv))
    assert not api.stored["volumes"] and not api.stored["ports"] and not api.stored["networks"]


def test_operation_show_tells_where_it_is_and_what_it_waits_for(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.script = Script(hold=True, waiting_for="HOST")
    name = ok(run("instance", "start", "web", "--no-wait")).stdout.strip()
    shown = ok(run("operation", "show", name)).stdout
    assert "RUNNING" in shown and "waiting for the host" in shown
    waited = run("operation", "wait", name, "--timeout", "0.3")
    assert waited.exit_code == 1
    assert "not done after 300 ms" in waited.stderr
    assert "cancellation was asked for" in ok(run("operation", "cancel", name)).stdout


def test_operations_are_listed_newest_first(api: FakeApi, run: Run) -> None:
    api.instance("web")
    for verb in ("start", "stop", "reboot"):
        ok(run("instance", verb, "web"))
    answer = json.loads(ok(run("operation", "list", "--json", "--limit", "2")).stdout)
    assert [entry["metadata"]["verb"] for entry in answer["operations"]] == ["VERB_REBOOT", "VERB_STOP"]
    heading, *lines = ok(run("operation", "list")).stdout.splitlines()
    assert heading.split()[:3] == ["VERB", "STATE", "TARGET"]
    assert [line.split()[0] for line in lines] == ["reboot", "stop", "start"]


def test_an_operation_that_is_done_needs_no_waiting(api: FakeApi, run: Run) -> None:
    api.instance("web")
    ok(run("instance", "start", "web"))
    (name,) = api.stored["operations"]
    assert "is ACTIVE" in ok(run("operation", "wait", name.partition("/")[2])).stdout


# Looking


def test_the_console_is_printed_as_it_is(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.console = ["boot\nlogin: ", "boot\nlogin: "]
    assert ok(run("instance", "console", "web")).stdout == "boot\nlogin: "


def test_following_a_console_prints_each_part_once_until_the_instance_is_gone(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.console = ["one\n", "one\ntwo\n", "one\ntwo\nthree\n"]
    result = run("instance", "console", "web", "--follow")
    assert result.stdout == "one\ntwo\nthree\n"
    assert result.exit_code == 1


def test_watching_resumes_after_a_break_without_gap_or_repeat(api: FakeApi, run: Run) -> None:
    for place in range(4):
        event = instance_service_pb2.InstanceEvent(
            cursor=f"c{place}", type="instance.update", time=Timestamp(seconds=1)
        )
        event.instance.display_name = f"vm-{place}"
        api.events.append(event)
    api.breaks = 2
    result = run("instance", "watch", "--json")
    assert [json.loads(line)["cursor"] for line in result.stdout.splitlines()] == ["c0", "c1", "c2", "c3"]


# Who, where, errors


def test_identity_travels_with_every_call(api: FakeApi, run: Run) -> None:
    ok(run("--user", "ann", "instance", "list", "--project", "blue", "--roles", "reader,member"))
    metadata = api.calls[0].metadata
    assert metadata["x-protostar-user"] == "ann"
    assert metadata["x-protostar-project"] == "blue"
    assert metadata["x-protostar-roles"] == "reader,member"


def test_without_identity_none_is_sent(api: FakeApi, run: Run) -> None:
    ok(run("instance", "list"))
    assert not [key for key in api.calls[0].metadata if key.startswith("x-protostar-")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            Aborted("busy", reason="OPERATION_IN_PROGRESS", metadata={"operation": "operations/7"}),
            "protostar operation wait operations/7",
        ),
        (FailedPrecondition("web is locked: careful", reason="INSTANCE_LOCKED"), "instance unlock web"),
        (
            FailedPrecondition(
                "cannot start",
                reason="INSTANCE_INVALID_STATE",
                metadata={"attr": "vm_state", "value": "ACTIVE", "allowed": "STOPPED"},
            ),
            "--join",
        ),
        (InvalidArgument.field("grace_period", "must be at most 3600 s"), "must be at most 3600 s"),
    ],
)
def test_a_refusal_is_a_line_and_a_hint(api: FakeApi, run: Run, error: Any, words: str) -> None:
    api.instance("web")
    api.refusal = error
    result = run("instance", "start", "web")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"error: {error.message}" in result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_refusal_in_json_is_a_status_on_stderr(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.refusal = FailedPrecondition("web is locked", reason="INSTANCE_LOCKED")
    result = run("instance", "start", "web", "--json")
    error = json.loads(result.stderr)["error"]
    assert result.stdout == ""
    assert (error["code"], error["message"], error["details"][0]["reason"]) == (9, "web is locked", "INSTANCE_LOCKED")


def test_a_store_that_is_away_is_tried_again_before_it_is_told(api: FakeApi, run: Run) -> None:
    api.instance("web")
    api.refusal = Unavailable("the database does not answer", reason="STORAGE_UNAVAILABLE", retry_after=0.01)
    result = run("instance", "lock", "web")
    attempts = [call.request.request_id for call in api.calls if call.method == "LockInstance"]
    assert len(attempts) == 3 and len(set(attempts)) == 1
    assert "the database does not answer" in result.stderr


def test_when_nobody_answers_the_command_that_helps_is_named(tmp_path: Path, run: Run) -> None:
    result = run("instance", "list", "--api-address", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "nobody answers at 127.0.0.1:1" in result.stderr
    assert "protostar up" in result.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["instance", "create", "web"],
        ["instance", "create", "web", "--image", "x", "--metadata", "novalue"],
        ["instance", "create", "web", "--image", "x", "--vcpus", "0"],
        ["instance", "create", "web", "--image", "x", "--no-network", "--network", "lan"],
        ["instance", "create", "web", "--image", "x", "--user-data", "/nonexistent"],
        ["instance", "update", "web"],
        ["instance", "fly"],
        ["network", "create", "lan", "--subnet", "10.0.0.0/8", "--kind", "token-ring"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_changes_nothing(api: FakeApi, run: Run, argv: list[str]) -> None:
    api.instance("web")
    api.add("images", image_pb2.Image(display_name="x"))
    assert run(*argv).exit_code == 2
    assert not [call for call in api.calls if not call.method.startswith(("List", "Get"))]


def test_an_unknown_operation_is_told_as_such(run: Run) -> None:
    assert "is not an operation" in run("operation", "show", "web").stderr
    result = run("operation", "show", MISSING)
    assert result.exit_code == 1
    assert "protostar operation list" in result.stderr


# As a process: signals, traces, completion


async def test_ctrl_c_leaves_the_operation_running_and_says_how_to_follow_it(api: FakeApi, tmp_path: Path) -> None:
    api.instance("web")
    api.script = Script(hold=True)
    started = process(api, tmp_path, "instance", "start", "web")
    async with asyncio.timeout(20):
        while "WatchOperation" not in [call.method for call in api.calls]:
            await asyncio.sleep(0.02)
    started.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(started.communicate)
    (operation,) = api.stored["operations"]
    assert started.returncode == 130
    assert out == ""
    assert f"protostar operation wait {operation}" in err
    assert "Traceback" not in err
    assert "CancelOperation" not in [call.method for call in api.calls]


def test_a_command_is_the_root_of_a_trace_that_it_keeps(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    api.instance("web")
    started = process(api, tmp_path, "instance", "start", "web")
    _, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    sent = next(call.metadata["traceparent"] for call in api.calls if call.method == "StartInstance")
    _, trace_id, parent, _ = sent.split("-")
    shown = process(api, tmp_path, "trace", trace_id, "--json")
    out, err = shown.communicate(timeout=30)
    assert shown.returncode == 0, err
    spans = json.loads(out)["spans"]
    assert (spans[0]["name"], spans[0]["service"], spans[0]["parent_span_id"]) == (
        "protostar instance start",
        "cli",
        "",
    )
    assert parent in [span["span_id"] for span in spans]
    assert {span["trace_id"] for span in spans} == {trace_id}


def test_nothing_is_written_where_no_traces_are_kept(api: FakeApi, tmp_path: Path) -> None:
    started = process(api, tmp_path / "none", "instance", "list")
    _, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    assert "traceparent" in api.calls[0].metadata
    assert list(tmp_path.iterdir()) == []


def test_the_shell_completes_names_that_exist(api: FakeApi, tmp_path: Path) -> None:
    api.instance("web-1")
    api.instance("web-2")
    api.instance("db")
    assert _completions(api.address, tmp_path, "protostar instance start we") == ["web-1", "web-2"]
    assert _completions(api.address, tmp_path, "protostar instance reb") == ["reboot"]


def test_completion_is_silent_when_nobody_answers(tmp_path: Path) -> None:
    assert _completions("127.0.0.1:1", tmp_path, "protostar instance start we") == []


def _completions(address: str, data_dir: Path, line: str) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PROTOSTAR_", "OTEL_"))}
    environment |= {"PROTOSTAR_API_ADDRESS": address, "PROTOSTAR_DATA_DIR": str(data_dir)}
    environment |= {"_PROTOSTAR_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    code = "import sys; sys.argv[0] = 'protostar'; from cli.app import app; app(prog_name='protostar')"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.stderr == ""
    return sorted(answer.stdout.split())


# Doctor

SHORT = ("--data-dir", "/tmp")


@pytest.fixture
def free_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API", "COMPUTE", "IMAGE", "NETBLOCK"):
        monkeypatch.setenv(f"PROTOSTAR_{name}_ADDRESS", "127.0.0.1:0")


@pytest.mark.usefixtures("free_addresses")
def test_doctor_names_what_is_missing_and_the_command_that_brings_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("LIBVIRT_DRIVER_DIR", "/nonexistent")
    result = run("doctor", "--json", *SHORT)
    told = json.loads(result.stdout)
    missing = {check["name"] for check in told["checks"] if check["state"] == "missing"}
    assert result.exit_code == 1 and told["ok"] is False
    assert {"qemu-img", "libvirt's QEMU driver"} <= missing
    (install,) = told["fix"]
    assert "apt-get install" in install and "qemu-utils" in install and "libvirt-daemon-driver-qemu" in install
    assert install in run("doctor", *SHORT).stdout


@pytest.mark.usefixtures("free_addresses")
def test_doctor_asks_only_for_what_the_connection_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("PROTOSTAR_LIBVIRT_URI", "test:///default")
    result = run("doctor", "--json", *SHORT)
    assert result.exit_code == 0, result.stdout
    assert "qemu-img" not in {check["name"] for check in json.loads(result.stdout)["checks"]}


@pytest.mark.usefixtures("free_addresses")
def test_doctor_refuses_a_place_where_sockets_would_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOSTAR_LIBVIRT_URI", "test:///default")
    result = run("doctor", "--json", "--data-dir", "/tmp/" + "x" * 60)
    checks = {check["name"]: check["state"] for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1
    assert checks["its length"] == "missing"


def test_the_version_is_told(run: Run) -> None:
    assert ok(run("--version")).stdout.startswith("protostar ")
