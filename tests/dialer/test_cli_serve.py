"""`serve` refuses what cannot be right before it starts anything."""

from __future__ import annotations

import fcntl
import socket
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values
from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.errors import CannotBeDone
from streamdialer.operations import one_machine, redis_server
from streamdialer.operations.one_machine import MARK, env_line
from streamdialer.operations.redis_server import lasting_server
from streamdialer.operations.session import free_port

SIMULATED = "--simulate-telephones"


def refusal(folder: Path, *arguments: str, code: int) -> str:
    ended = CliRunner().invoke(
        app, ["serve", "--data", str(folder), *arguments], env={"ASTERISK_AMI_URL": ""}
    )
    assert ended.exit_code == code, ended.output
    return ended.stderr


@pytest.mark.parametrize("arguments", [(), (SIMULATED, "--asterisk", "ami://u:geheim@host")])
def test_it_takes_either_asterisk_or_simulated_telephones(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    text = refusal(tmp_path / "data", *arguments, code=2)
    assert text.startswith("Error: serve takes one of two: --simulate-telephones, or --asterisk")
    assert "geheim" not in text
    assert not (tmp_path / "data").exists()


def test_only_simulated_telephones_can_be_faster_than_life(tmp_path: Path) -> None:
    text = refusal(tmp_path, "--asterisk", "ami://user:secret@host:5038", "--speed", "30", code=2)
    assert text == "Error: --speed: needs --simulate-telephones\n"


def test_a_folder_has_one_run(tmp_path: Path) -> None:
    with (tmp_path / "serve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = refusal(tmp_path, SIMULATED, code=1)
    assert text == f"Error: another `streamdialer serve` uses the folder {tmp_path}\n"


@pytest.mark.parametrize("option", ["--port", "--backend-port"])
def test_a_port_that_is_in_use_is_named_with_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(one_machine, "PORT_TIMEOUT_S", 0.1)
    ports = {"--port": free_port(), "--backend-port": free_port()}
    with socket.create_server(("127.0.0.1", ports[option])):
        given = [word for name, port in ports.items() for word in (name, str(port))]
        text = refusal(tmp_path / "data", SIMULATED, *given, code=1)
    taken = f"cannot listen at port {ports[option]} of 127.0.0.1: Address already in use"
    assert text == f"Error: {taken}; name another one with {option}\n"


def test_a_settings_file_of_yours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BACKEND_URL=http://mine\n")
    assert f"{tmp_path / '.env'} was not written by `streamdialer serve`" in refusal(
        tmp_path, SIMULATED, code=1
    )
    assert (tmp_path / ".env").read_text() == "BACKEND_URL=http://mine\n"


def test_settings_that_an_earlier_run_wrote_are_not_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of simulated telephones would make a telephone ring for a second only."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{MARK}\nASTERISK_AMI_URL=ami://user:secret@host\n")
    assert "serve takes one of two" in refusal(tmp_path, code=2)


@pytest.mark.parametrize(
    "value", ["", "ami://u:s%23@h:5038?trunks=a", "a #b", "it's \\ one", "$HOME ñ", '"x"']
)
def test_a_setting_comes_out_of_the_file_as_it_was(value: str) -> None:
    assert dotenv_values(stream=StringIO(env_line("NAME", value)), interpolate=False) == {"NAME": value}


def test_a_server_of_an_earlier_run_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "FORMER_SERVER_TIMEOUT_S", 0.1)
    with (tmp_path / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CannotBeDone, match="another Redis server is still running in"):
            lasting_server(tmp_path).__enter__()


def test_a_path_that_is_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        CannotBeDone, match="the path is too long for a socket; name a folder with a shorter path"
    ):
        lasting_server(tmp_path / ("x" * 100)).__enter__()
