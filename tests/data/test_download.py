"""Downloading MNIST: a server on this machine stands in for the real one, and nothing leaves it."""

import contextlib
import gc
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from mnist_files import PROXIES, assert_same, assert_three_ways_out, npz_bytes, on_disk, python

from vae.data import mnist
from vae.data.mnist import DatasetUnavailableError, load_mnist

pytestmark = pytest.mark.usefixtures("clean_place")


@contextlib.contextmanager
def server(answer):
    """Serve every connection with `answer(connection)`; yields the address and the connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                connections.append(connection)
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection):
        with contextlib.suppress(OSError):
            if answer is not hang:
                connection.recv(65536)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        for connection in connections:
            connection.close()


def hang(connection):
    """Accept, and never answer."""


def send(content, piece=None, pause=0.0, stop_at=None):
    """An answer that sends `content`, in pieces with pauses between, or only up to `stop_at`."""

    def answer(connection):
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode())
        for start in range(0, len(content[:stop_at]), piece or len(content)):
            connection.sendall(content[:stop_at][start : start + (piece or len(content))])
            time.sleep(pause)
        if stop_at is None:
            connection.close()

    return answer


@pytest.fixture
def origin(monkeypatch):
    """Point the download at an address, expecting this content."""

    def point(address, content=b""):
        monkeypatch.setattr(mnist, "_ORIGIN", f"{address}/mnist.npz")
        monkeypatch.setattr(mnist, "_SHA256", hashlib.sha256(content).hexdigest())

    yield point
    # Downloads that were left behind end now, with the server. Python's own urllib does not close every
    # socket of a failed request: collected here, so that no later test is blamed for it.
    for thread in threading.enumerate():
        if "(run)" in thread.name:
            thread.join(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_download_is_cached_and_prints_one_plain_line(small, tmp_path, origin, capfd):
    content = npz_bytes(small)
    with server(send(content)) as (address, connections):
        origin(address, content)
        assert_same(load_mnist(), small)
        assert len(connections) == 2  # a question whether anyone is there, and the download
        assert capfd.readouterr().out == "Downloading MNIST (11 MB) ...\n"
        assert_same(load_mnist(), small)
        assert len(connections) == 2
    assert capfd.readouterr().out == ""
    cache = tmp_path / "keras" / "datasets"
    assert list(on_disk(cache).items()) == [(cache / "mnist.npz", content)]
    assert on_disk(tmp_path / "tmp") == {}


def test_download_appears_in_the_cache_whole(small, tmp_path, origin, monkeypatch):
    """It is moved there by os.replace, from the same folder, and only after the check."""
    content = npz_bytes(small)
    target = tmp_path / "keras" / "datasets" / "mnist.npz"
    moves = []
    real = os.replace

    def replace(source, destination):
        moves.append((Path(source).read_bytes(), Path(source).parent, Path(destination)))
        assert not target.exists()
        real(source, destination)

    monkeypatch.setattr(os, "replace", replace)
    with server(send(content)) as (address, _):
        origin(address, content)
        load_mnist()
    assert moves == [(content, target.parent, target)]


def test_cache_that_cannot_be_written_is_done_without(small, tmp_path, origin, monkeypatch):
    (tmp_path / "file").write_bytes(b"no folder")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    content = npz_bytes(small)
    before = on_disk(tmp_path)
    with server(send(content)) as (address, _):
        origin(address, content)
        assert_same(load_mnist(), small)
    assert on_disk(tmp_path) == before


def test_nothing_is_written_over(tmp_path):
    new, target = tmp_path / "new.npz", tmp_path / "cache" / "mnist.npz"
    new.write_bytes(b"new")
    target.parent.mkdir()
    target.symlink_to("nowhere")
    mnist._keep(str(new), str(target))
    assert target.is_symlink()
    target.unlink()
    target.write_bytes(b"old")
    mnist._keep(str(new), str(target))
    assert on_disk(target.parent) == {target: b"old"}


def test_slow_download_goes_on(small, origin, monkeypatch):
    content = npz_bytes(small)
    monkeypatch.setattr(mnist, "_STALL_SECONDS", 0.6)
    started = time.monotonic()
    with server(send(content, piece=8192, pause=0.3)) as (address, _):
        origin(address, content)
        assert_same(load_mnist(), small)
    assert time.monotonic() - started > 1.2


def half(content):
    return send(content, stop_at=len(content) // 2)


@pytest.mark.parametrize("answer", [lambda content: hang, half], ids=["no answer", "stall"])
def test_stalled_download_gives_up(small, tmp_path, origin, monkeypatch, capfd, answer):
    monkeypatch.setattr(mnist, "_STALL_SECONDS", 0.5)
    content = npz_bytes(small)
    before = on_disk(tmp_path)
    with server(answer(content)) as (address, connections):
        origin(address, content)
        started = time.monotonic()
        with pytest.raises(DatasetUnavailableError, match=r"nothing came from .* for 0\.5 seconds"):
            load_mnist()
        assert 0.5 < time.monotonic() - started < 3
        for connection in connections:  # the rest comes after all, when nobody waits for it
            with contextlib.suppress(OSError):
                connection.sendall(content[len(content) // 2 :])
        time.sleep(0.3)
    assert on_disk(tmp_path) == before
    assert capfd.readouterr() == ("Downloading MNIST (11 MB) ...\n", "")


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (send(b"<html>please log in</html>"), "hash"),
        (
            lambda connection: connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n") or connection.close(),
            "404",
        ),
        (lambda connection: connection.close(), "download: "),
        (lambda connection: connection.sendall(b"rubbish\r\n\r\n") or connection.close(), "download: "),
    ],
    ids=["login page", "404", "closed", "no HTTP"],
)
def test_wrong_answers_are_reported(tmp_path, origin, answer, match):
    before = on_disk(tmp_path)
    with server(answer) as (address, _):
        origin(address)
        with pytest.raises(DatasetUnavailableError, match=match):
            load_mnist()
    assert on_disk(tmp_path) == before


def test_refused_connection_fails_at_once(tmp_path, origin):
    before = on_disk(tmp_path)
    origin("http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(DatasetUnavailableError, match="refused"):
        load_mnist()
    assert time.monotonic() - started < 3
    assert on_disk(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_is_heard_and_leaves_nothing(small, tmp_path, origin):
    import keras  # noqa: F401  # whose first import writes its settings

    before = on_disk(tmp_path)
    content = npz_bytes(small)
    with server(half(content)) as (address, _):
        origin(address, content)
        # A shell has what it runs in the background ignore the signal.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        started = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                load_mnist()
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, handler)
        assert time.monotonic() - started < 3
    assert on_disk(tmp_path) == before


# In a process of its own


def test_proxy_that_never_answers(tmp_path):
    """The whole call in a fresh process; Keras and its backend are not even imported."""
    with server(hang) as (address, connections):
        proxies = {name: address for proxy in PROXIES[:2] for name in (proxy, proxy.upper())}
        done, seconds = python("import vae; vae.load_mnist()", tmp_path / "home", **proxies)
    assert done.returncode == 1
    assert len(connections) == 1
    assert seconds < 12
    assert done.stdout == "Downloading MNIST (11 MB) ...\n"
    assert "DatasetUnavailableError: MNIST could not be had:" in done.stderr
    assert_three_ways_out(done.stderr)
    assert on_disk(tmp_path / "home") == {}


@pytest.mark.slow
def test_auto_behind_a_refusing_proxy(tmp_path):
    proxies = {name: "http://127.0.0.1:9" for name in ("https_proxy", "HTTPS_PROXY")}
    code = "import vae; print(vae.load_dataset())"
    done, seconds = python(code, tmp_path / "home", **proxies)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert seconds < 12
    assert lines[0] == "Downloading MNIST (11 MB) ..."
    assert lines[1].startswith(f"{lines[2]}; from scikit-learn, because MNIST could not be had (")
    assert "refused" in lines[1]
    assert lines[2].startswith("Dataset 'digits'")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_download_leaves_no_half_file(tmp_path):
    with server(send(bytes(10**6), stop_at=500_000)) as (address, connections):
        script = f"from vae.data import mnist; mnist._ORIGIN = '{address}/mnist.npz'; mnist.load_mnist()"
        environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
        environment["PYTHONPATH"] = str(Path(mnist.__file__).parents[2])
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        deadline = time.monotonic() + 30
        while len(connections) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.kill()
        process.wait()
    assert len(connections) == 2
    assert not list(tmp_path.glob("keras/**/mnist.npz"))
