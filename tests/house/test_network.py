"""The wall around the suite stands; addresses of RFC 5737 and names of RFC 2606 lead nowhere even if it did not."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from tests.house import network

OUTSIDE = ("192.0.2.1", 80)


@pytest.fixture(autouse=True)
def forgiven(stays_on_this_machine: None) -> Iterator[None]:
    """The tests here try to leave on purpose."""
    yield
    network.attempts.clear()


def test_a_connection_to_another_machine_is_refused_before_it_leaves() -> None:
    with (
        socket.socket() as client,
        pytest.raises(network.NetworkBlocked, match=r"only reach this machine.*192\.0\.2\.1"),
    ):
        client.connect(OUTSIDE)


def test_a_datagram_to_another_machine_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(network.NetworkBlocked, match=r"192\.0\.2\.1"):
        client.sendto(b"x", OUTSIDE)


def test_a_connection_over_ipv6_is_refused() -> None:
    with socket.socket(socket.AF_INET6) as client, pytest.raises(network.NetworkBlocked, match="2001:db8::1"):
        client.connect(("2001:db8::1", 80))


def test_no_name_but_that_of_this_machine_is_looked_up() -> None:
    with pytest.raises(network.NetworkBlocked, match=r"guardgraph\.example"):
        socket.getaddrinfo("guardgraph.example", 443)

    assert socket.getaddrinfo("localhost", 80)


def test_threads_stay_inside_too() -> None:
    errors: list[Exception] = []

    def leave() -> None:
        try:
            socket.create_connection(OUTSIDE, timeout=1)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()

    assert [type(error) for error in errors] == [network.NetworkBlocked]


def test_a_client_library_stays_inside_and_its_attempt_is_remembered() -> None:
    with pytest.raises(OSError, match="only reach this machine"):
        urllib.request.urlopen("http://guardgraph.example/", timeout=1)

    assert network.attempts == ["socket.getaddrinfo 'guardgraph.example'"]


def test_loopback_works() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        (b"localhost", True),
        (None, True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("localhost.example", False),
    ],
)
def test_only_loopback_is_local(host: object, local: bool) -> None:
    assert network.is_local(host) is local


def test_tracing_is_off_for_the_whole_suite() -> None:
    assert os.environ["LANGSMITH_TRACING"] == "false"
    assert not [name for name in os.environ if name.startswith("LANGSMITH_") and name != "LANGSMITH_TRACING"]
