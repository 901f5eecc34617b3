"""The connection: where the API server is, who we are, and what happens as tokens and certificates change."""

import asyncio
import json
import logging
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dnsserver.objects import Kind
from dnsserver.sources.api import SourceError, UnreachableError
from dnsserver.sources.config import clean_token
from dnsserver.sources.kubernetes import ApiConfig, ApiConnection, connect
from dnsserver.sources.watch import ResourceWatch
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_faults import Drop, Hang, Reply
from tests.fakes.api_mirror import mirrored
from tests.fakes.api_server import FakeApiServer

SECRET = "s3cr3t-t0ken"  # no token of anything but the fake
SERVICES = "/api/v1/services"


async def get(connection: ApiConnection, path: str = SERVICES, **query: str) -> tuple[int, bytes]:
    """Return the status and the body of a request."""
    async with connection.request(path, query, read_timeout=5) as response:
        return response.status, await response.read()


def pod(folder: Path, token: str = SECRET, ca: str = "") -> Path:
    """Lay out a pod's service account as the kubelet does, `..data` symlink and all; again to replace it."""
    folder.mkdir(exist_ok=True)
    version = folder / f"..version{len(list(folder.iterdir()))}"
    version.mkdir()
    (version / "token").write_text(token)
    (version / "ca.crt").write_text(ca or "-")
    link = folder / "..new"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    for name in ("token", "ca.crt"):
        if not (folder / name).exists():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def kubeconfig(path: Path, server: str, user: Mapping[str, Any], cluster: Mapping[str, Any] | None = None) -> Path:
    """Write a kubeconfig with the contexts `test` (current) and `empty`."""
    contexts = [
        {"name": "test", "context": {"cluster": "c", "user": "u"}},
        {"name": "empty", "context": {"cluster": "none", "user": "u"}},
    ]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "contexts": contexts,
        "users": [{"name": "u", "user": dict(user)}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two authorities, each with a certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt", "-days", "2"]
        subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    return folder


def server_side(tls: Path, name: str) -> ssl.SSLContext:
    """Return what a server presents a certificate with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / f"{name}.crt", tls / f"{name}.key")
    return context


@pytest.fixture
async def guarded() -> AsyncIterator[FakeApiServer]:
    """An API server that asks for a token."""
    async with FakeApiServer(tokens={SECRET}) as server:
        yield server


# Where and who


async def test_endpoint(api: FakeApiServer) -> None:
    """An endpoint needs no more than its URL; we say who we are, and want no compressed answers."""
    async with connect(ApiConfig(endpoint=api.url + "/")) as connection:
        status, body = await get(connection, labelSelector="a in (b, c),d=e/f+g")
    assert (status, json.loads(body)["kind"]) == (200, "ServiceList")
    request = api.requests[0]
    assert request.query == {"labelSelector": "a in (b, c),d=e/f+g"}
    assert request.headers["user-agent"].startswith("dnsserver/")
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert "authorization" not in request.headers


async def test_inside_a_cluster(guarded: FakeApiServer, tls: Path, tmp_path: Path) -> None:
    """A pod has an address in its environment, and a token and an authority in a folder."""
    account = pod(tmp_path / "account", f"{SECRET}\n", (tls / "one.crt").read_text())
    async with FakeApiServer(tokens={SECRET}, ssl_context=server_side(tls, "one")) as api:
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
        async with connect(ApiConfig(service_account=account, environ=environ)) as connection:
            assert (await get(connection))[0] == 200
        assert api.requests[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("user", [{"token": SECRET}, {"tokenFile": "token"}, {"tokenFile": "token", "token": "old"}])
async def test_kubeconfig_tokens(guarded: FakeApiServer, tmp_path: Path, user: dict[str, str]) -> None:
    """A token in the file, or in another beside it, which wins."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    path = kubeconfig(tmp_path / "config", guarded.url, user)
    for context in ("", "test"):
        async with connect(ApiConfig(kubeconfig=str(path), context=context)) as connection:
            assert (await get(connection))[0] == 200


async def test_kubeconfig_exec_plugin(guarded: FakeApiServer, tmp_path: Path) -> None:
    """An exec plugin is run off the event loop, and again after a 401."""
    plugin = tmp_path / "plugin.py"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    plugin.write_text(
        "import json, pathlib\n"
        f"token = pathlib.Path({str(tmp_path / 'token')!r}).read_text()\n"
        f"print(json.dumps({credential!r} | {{'status': {{'token': token}}}}))\n"
    )
    (tmp_path / "token").write_text(SECRET)
    run = {"apiVersion": credential["apiVersion"], "command": sys.executable, "args": [str(plugin)]}
    path = kubeconfig(tmp_path / "config", guarded.url, {"exec": run})
    clock = FakeClock()
    async with connect(ApiConfig(kubeconfig=str(path)), clock=clock) as connection:
        assert (await get(connection))[0] == 200
        guarded.tokens = {"next"}
        assert (await get(connection))[0] == 401  # not yet: several watches fail at the same time
        clock.time += 10
        (tmp_path / "token").write_text("next")
        assert (await get(connection))[0] == 200


async def test_kubeconfig_exec_plugin_that_fails(tmp_path: Path) -> None:
    """A plugin that fails is an error at once, not a request without a token."""
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nonexistent/plugin"}
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", {"exec": run})
    with pytest.raises(SourceError, match="its exec plugin gave no credentials"):
        async with connect(ApiConfig(kubeconfig=str(path))):
            pass


async def test_wrong_configurations(tmp_path: Path, tls: Path) -> None:
    """Each mistake has a clear message of one line, without any secret."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    text = tmp_path / "text"
    text.write_text("just text")
    broken = tmp_path / "broken"
    broken.write_text("a: [")
    (tmp_path / "empty-token").write_text("")
    sound = kubeconfig(tmp_path / "good", "http://127.0.0.1:9", {"token": SECRET})
    good = str(sound)
    missing = str(kubeconfig(tmp_path / "missing", "https://127.0.0.1:9", {"client-key": "nokey"}))
    odd = tmp_path / "odd"
    odd.write_text(sound.read_text().replace("name: u", f"name: u\n  {SECRET}: [1"))
    twice = yaml.safe_load(sound.read_text())
    twice["users"][0]["user"]["auth-provider"] = {"name": "oidc", "config": {"id-token": SECRET}}
    oidc = tmp_path / "oidc"
    oidc.write_text(yaml.safe_dump(twice))
    servers = ("http://127.0.0.1:x", "https://[::1", "http://", "ftp://127.0.0.1")
    strange = [kubeconfig(tmp_path / f"s{n}", server, {"token": SECRET}) for n, server in enumerate(servers)]
    account = pod(tmp_path / "account")
    inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "9"}
    url = "https://127.0.0.1:9"
    key, cert = str(tls / "one.key"), str(tls / "one.crt")
    cases = [
        (ApiConfig(kubeconfig="/nonexistent"), "kubeconfig /nonexistent: No such file or directory"),
        (ApiConfig(kubeconfig=str(tmp_path)), "Is a directory"),
        (ApiConfig(kubeconfig=str(text)), "is not a kubeconfig"),
        (ApiConfig(kubeconfig=str(broken)), "is not YAML"),
        (ApiConfig(kubeconfig=str(odd)), "is not YAML"),
        (ApiConfig(kubeconfig=good, context="other"), "has no context other"),
        (ApiConfig(kubeconfig=good, context="empty"), "context empty has no cluster with a server"),
        (ApiConfig(kubeconfig=missing), "client-key .*nokey: No such file"),
        *((ApiConfig(kubeconfig=str(path)), "is not the URL of an API server") for path in strange),
        (ApiConfig(kubeconfig=str(oidc)), r"oidc: cannot be used \(\w+\)"),
        (ApiConfig(environ={}), "not inside a Kubernetes cluster"),
        (ApiConfig(environ=inside, service_account=tmp_path / "no"), "token file .*no/token: No such file"),
        (ApiConfig(environ=inside, service_account=account), "certificate authority .*ca.crt: is not a PEM"),
        (ApiConfig(endpoint="127.0.0.1:8080"), "is not an http or https URL"),
        (ApiConfig(endpoint=url, ca_file="/nonexistent"), "certificate authority /nonexistent: No such file"),
        (ApiConfig(endpoint=url, ca_file=str(bad)), "certificate authority .*bad.pem: is not a PEM"),
        (ApiConfig(endpoint=url, cert_file=str(bad), key_file=key), "client certificate .*do not fit"),
        (ApiConfig(endpoint=url, cert_file=cert, key_file=str(tls / "two.key")), "client certificate .*do not fit"),
        (ApiConfig(endpoint=url, token_file=str(tmp_path / "empty-token")), "is empty or not a token"),
    ]
    for config, message in cases:
        with pytest.raises(SourceError, match=message) as caught:
            async with connect(config):
                pass
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_config_shows_no_environment() -> None:
    """A configuration may be printed."""
    assert str(ApiConfig()) == "the cluster this pod runs in"
    assert str(ApiConfig(endpoint="http://a")) == "http://a"
    assert str(ApiConfig(kubeconfig="/a", context="b")) == "kubeconfig /a, context b"
    assert "environ" not in repr(ApiConfig())


def test_clean_token() -> None:
    """A file caught half-written is no token."""
    assert clean_token(b" abc\n") == "abc"
    assert clean_token(b"") is clean_token(b"\n") is clean_token(b"a\nb") is clean_token(b"\xff") is None


# Tokens that change


async def test_token_is_read_again(guarded: FakeApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every 50 s at the latest; whatever cannot be read leaves the old token in use."""
    folder = pod(tmp_path / "account")
    clock = FakeClock()
    config = ApiConfig(endpoint=guarded.url, token_file=str(folder / "token"))
    async with connect(config, clock=clock) as connection:
        for content, expected in ((SECRET, SECRET), ("two", "two"), ("", "two"), ("three", "three")):
            pod(folder, content)
            guarded.tokens = {expected}
            clock.time += 51
            assert (await get(connection))[0] == 200
        shutil.rmtree(folder)
        clock.time += 51
        assert (await get(connection))[0] == 200
        clock.time += 51
        assert (await get(connection))[0] == 200
    assert len(guarded.requests) == 6
    assert len(caplog.messages) == 1
    assert "three" not in caplog.text


async def test_401_then_new_token(guarded: FakeApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A watch survives a token that expires: the file is read at once, and the request repeated once."""
    caplog.set_level(logging.DEBUG)
    folder = pod(tmp_path / "account")
    guarded.put({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1", "name": "db"}})
    async with connect(ApiConfig(endpoint=guarded.url, token_file=str(folder / "token"))) as connection:
        clock = FakeClock()
        async with mirrored(ResourceWatch(connection, Kind.SERVICE, clock=clock)) as mirror:
            await guarded.seen("services", "watch")
            guarded.tokens = {"new-token"}
            guarded.end_watches("services", "drop")
            guarded.put({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1", "name": "web"}})
            await clock.until(lambda: len(clock.sleeps) >= 3)
            pod(folder, "new-token")
            await mirror.until_names("db", "web")
        async with mirrored(ResourceWatch(connection, Kind.SERVICE, clock=clock)) as mirror:
            await mirror.until_names("db", "web")
            pod(folder, "third")
            guarded.tokens = {"third"}
            pauses = len(clock.sleeps)
            guarded.end_watches("services")
            guarded.delete("Service", "ns1", "db")
            await mirror.until_names("web")
            assert len(clock.sleeps) <= pauses + 1
    assert not any(one in caplog.text for one in (SECRET, "new-token", "third"))


# TLS, and the lack of any answer


async def test_authority_is_verified_and_renewed(tls: Path, tmp_path: Path) -> None:
    """An untrusted certificate is never accepted; an authority renewed on disk is, without a restart."""
    ca_file = tmp_path / "ca.crt"
    shutil.copy(tls / "one.crt", ca_file)
    clock = FakeClock()
    async with FakeApiServer(ssl_context=server_side(tls, "two")) as api:
        async with connect(ApiConfig(endpoint=api.url, ca_file=str(ca_file)), clock=clock) as connection:
            for _ in range(2):
                with pytest.raises(UnreachableError, match="not trusted"):
                    await get(connection)
                clock.time += 10
            shutil.copy(tls / "two.crt", ca_file)
            with pytest.raises(UnreachableError, match="not trusted"):
                await get(connection)
            assert (await get(connection))[0] == 200
        with pytest.raises(UnreachableError):  # nor does the system trust it
            async with connect(ApiConfig(endpoint=api.url)) as connection:
                await get(connection)


async def test_insecure_only_if_the_kubeconfig_says_so(tls: Path, tmp_path: Path) -> None:
    """`insecure-skip-tls-verify` is the one way around verification."""
    async with FakeApiServer(ssl_context=server_side(tls, "two")) as api:
        path = kubeconfig(tmp_path / "a", api.url, {"token": SECRET}, {"insecure-skip-tls-verify": True})
        async with connect(ApiConfig(kubeconfig=str(path))) as connection:
            assert (await get(connection))[0] == 200
        authority = {"certificate-authority": str(tls / "one.crt")}
        path = kubeconfig(tmp_path / "b", api.url, {"token": SECRET}, authority)
        async with connect(ApiConfig(kubeconfig=str(path))) as connection:
            with pytest.raises(UnreachableError, match="not trusted"):
                await get(connection)


async def test_client_certificate(tls: Path) -> None:
    """`tls CERT KEY CA`: the server asks who we are, and gets to know."""
    context = server_side(tls, "two")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls / "one.crt")
    async with FakeApiServer(ssl_context=context) as api:
        ca_file, cert_file, key_file = (str(tls / name) for name in ("two.crt", "one.crt", "one.key"))
        config = ApiConfig(endpoint=api.url, cert_file=cert_file, key_file=key_file, ca_file=ca_file)
        async with connect(config) as connection:
            assert (await get(connection))[0] == 200
        async with connect(ApiConfig(endpoint=api.url, ca_file=ca_file)) as connection:
            with pytest.raises(UnreachableError):
                await get(connection)


async def test_unreachable(api: FakeApiServer, connection: ApiConnection) -> None:
    """Every way of not answering is one kind of error, and a refused connection is told apart."""
    api.fault("services", "list", Drop(-1), times=2)
    with pytest.raises(UnreachableError, match="connection was lost"):
        await get(connection)
    api.fault("services", "list", Drop(10))
    with pytest.raises(UnreachableError, match="connection was lost"):
        await get(connection)
    api.fault("services", "list", Reply(headers={"Bad\x00Name": "x"}))
    with pytest.raises(UnreachableError, match="not a sound HTTP answer"):
        await get(connection)
    for place in (-1, 5):
        api.fault("services", "list", Hang(place))
        with pytest.raises(UnreachableError, match="no answer in time"):
            async with connection.request(SERVICES, {}, read_timeout=0.05) as response:
                await response.read()
    await api.stop()
    with pytest.raises(UnreachableError) as caught:
        await get(connection)
    assert caught.value.refused


async def test_answers_outlive_a_reload(guarded: FakeApiServer, tmp_path: Path) -> None:
    """New credentials do not cut the watches that are open; the end of the block does."""
    folder = pod(tmp_path / "account")
    async with connect(ApiConfig(endpoint=guarded.url, token_file=str(folder / "token"))) as connection:
        async with connection.request(SERVICES, {"watch": "true"}, read_timeout=5) as old:
            chunks = old.chunks()
            pod(folder, "second")
            guarded.tokens = {"second"}
            assert (await get(connection))[0] == 200
            guarded.put({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1", "name": "db"}})
            assert b'"db"' in await anext(chunks)
            await chunks.aclose()
        async with asyncio.timeout(5):
            assert (await get(connection))[0] == 200


async def test_head_that_never_comes(
    api: FakeApiServer, connection: ApiConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch may be silent for minutes, but its answer begins at once or not at all."""
    monkeypatch.setattr("dnsserver.sources.kubernetes.HEAD_TIMEOUT", 0.05)
    api.fault("services", "watch", Hang(-1))
    with pytest.raises(UnreachableError, match="no answer in time"):
        async with connection.request(SERVICES, {"watch": "true"}, read_timeout=60):
            pass
    async with connection.request(SERVICES, {"watch": "true"}, read_timeout=60) as response:
        await asyncio.sleep(0.1)  # longer than the head may take
        api.put({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1", "name": "db"}})
        assert b'"db"' in await anext(response.chunks())
