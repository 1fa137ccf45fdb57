"""Keys are sent only over verified TLS, and are in no file that other users can read."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from constants import KEY
from selection import first
from servers import source_of
from vapi_sessions.errors import ConfigurationError, SourceUnavailableError
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.settings import Settings, load_settings
from vapi_sessions.source.list_query import Query
from worlds import World

PSEUDONYM_KEY = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[tuple[str, list[str]]]:
    """A source with that certificate: its address, and the keys that it received."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers["Authorization"])
            body = json.dumps(
                {"results": [], "metadata": {"itemsPerPage": 1, "totalItems": 0, "currentPage": 1}}
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # clients that close the connection are expected
            pass

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "variable",
    first(["", "PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "VAPI_VERIFY", "SSL_VERIFY"], 2),
)
def test_a_source_without_a_trusted_certificate_does_not_get_the_key(
    encrypted: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """No environment variable turns verification off."""
    if variable:
        monkeypatch.setenv(variable, "0" if variable != "CURL_CA_BUNDLE" else "")
    url, received = encrypted
    with (
        source_of(url, KEY) as client,
        pytest.raises(SourceUnavailableError, match="cannot be reached") as refused,
    ):
        client.list(Query(limit=1))
    assert received == []
    assert KEY not in repr(refused.value.__dict__) + str(refused.value)


def test_another_certificate_authority_can_be_trusted(
    encrypted: tuple[str, list[str]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url, received = encrypted
    with source_of(url, KEY) as client:
        assert client.list(Query(limit=1)).total == 0
    assert received == [f"Bearer {KEY}"]


def test_no_setting_turns_verification_off() -> None:
    """No setting is about verification or certificates."""
    assert [
        name for name in Settings.model_fields if "verif" in name or "tls" in name or "cert" in name
    ] == []


@pytest.mark.parametrize("url", ["http://api.vapi.ai", "http://api.eu.vapi.ai/", "HTTP://API.VAPI.AI"])
def test_the_vendors_host_requires_tls(url: str) -> None:
    """A missing letter in the address would send the key unencrypted."""
    with pytest.raises(ConfigurationError, match="unencrypted"):
        load_settings(base_url=url)


def test_keys_do_not_appear_in_settings() -> None:
    """Neither the API key nor the pseudonym key, in repr, str or JSON."""
    given = Settings(
        api_key=SecretStr(KEY), pseudonym_key=SecretStr(PSEUDONYM_KEY), personal_data="pseudonymise"
    )  # type: ignore[arg-type]
    text = (
        repr(given)
        + str(given)
        + given.model_dump_json()
        + repr(given.sanitizer())
        + repr(given.pseudonyms())
    )
    assert KEY not in text
    assert PSEUDONYM_KEY not in text


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({}, "none is given"),
        ({"pseudonym_key": "short"}, "has 5 characters"),
        ({"pseudonym_key": "  "}, "none is given"),
        ({"pseudonym_key_file": "missing"}, "cannot be read: No such file"),
        ({"pseudonym_key_file": "open"}, "can be read by others"),
        ({"pseudonym_key_file": "empty"}, "has 0 characters"),
    ],
)
def test_pseudonyms_without_a_usable_key_are_refused(
    given: dict[str, str], fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is missing, too short, or in a file that others can read."""
    monkeypatch.chdir(tmp_path)
    for name, text, mode in (("open", PSEUDONYM_KEY, 0o640), ("empty", "", 0o600)):
        Path(name).write_text(text)
        Path(name).chmod(mode)
    settings = load_settings(personal_data="pseudonymise", **given)
    with pytest.raises(ConfigurationError, match=fact) as refused:
        settings.sanitizer()
    assert PSEUDONYM_KEY not in str(refused.value)
    assert refused.value.remedy


def test_the_pseudonym_key_may_be_in_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the same pseudonyms as from the environment."""
    path = tmp_path / "key"
    path.write_text(f"{PSEUDONYM_KEY}\n")
    path.chmod(0o600)
    from_file = load_settings(personal_data="pseudonymise", pseudonym_key_file=path).sanitizer()
    monkeypatch.setenv("VAPI_PSEUDONYM_KEY", PSEUDONYM_KEY)
    assert load_settings(personal_data="pseudonymise").sanitizer() == from_file


def test_lists_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and paths to redact. An invalid path is refused."""
    monkeypatch.setenv("VAPI_REDACT_NAMES", "memberNumber, pin")
    monkeypatch.setenv("VAPI_REDACT_PATHS", "metadata.card.number")
    extra = load_settings().sanitizer().extra
    assert (extra.names, extra.paths) == ({"membernumber", "pin"}, (("metadata", "card", "number"),))
    monkeypatch.setenv("VAPI_REDACT_PATHS", "metadata..card")
    with pytest.raises(ConfigurationError, match="is not a path"):
        load_settings()


def test_only_the_owner_can_read_the_warehouse(world: World) -> None:
    """Files have mode 0600 and directories 0700, after sync, reconcile, rebuild and a stricter policy."""
    world.generate(50)
    world.sync()
    reconcile(world.settings(), environment=world.environment())
    world.rebuild()
    world.sync(message_text="mask")
    wrong = {
        str(path): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in [world.warehouse, *world.warehouse.rglob("*")]
        if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600)
    }
    assert wrong == {}
