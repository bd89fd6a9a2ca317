"""TLS: whom the tier trusts."""

import os
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from openai_tier.conftest import call, text_of
from openai_tier.server import Server, cut, piece, stall
from rung.errors import ConfigError, TierCrashed, TierTimeout, TierUnavailable
from rung.limits import Deadline
from rung.tiers.openai import OpenAITier
from rung.types import Price


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate that nobody signed, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *named, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Server(tls=context) as server:
        yield server


def test_only_a_certificate_of_the_bundle_is_trusted_and_only_for_its_name(server, certificate, tier_at):
    # Trusted, but not for the address.
    named, address = f"https://localhost:{server.port}/v1", server.url
    for url, bundle in ((named, None), (address, certificate[0])):
        with pytest.raises(TierUnavailable, match="ca_bundle"):
            list(tier_at(server, base_url=url, ca_bundle=bundle).stream(call()))
    assert server.requests == []
    assert text_of(list(tier_at(server, base_url=named, ca_bundle=certificate[0]).stream(call()))) == "ok"


@pytest.mark.parametrize(("fault", "error"), [(stall(piece("half")), TierTimeout), (cut(), TierCrashed)])
def test_what_breaks_off_after_it_was_sent_may_have_been_billed(server, certificate, tier_at, fault, error):
    server.enqueue(fault)
    url = f"https://localhost:{server.port}/v1"
    tier = tier_at(server, base_url=url, ca_bundle=certificate[0], price=Price(1, 1), stall_seconds=0.3)
    with pytest.raises(error) as caught:
        list(tier.stream(call()))
    assert caught.value.billed == "maybe"


def test_the_environment_names_no_certificates(server, certificate, tier_at, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with pytest.raises(TierUnavailable, match="ca_bundle"):
        list(tier_at(server, base_url=f"https://localhost:{server.port}/v1").stream(call()))
    assert server.requests == []


@pytest.mark.slow
def test_a_server_that_speaks_no_tls_is_sent_nothing(serve, tier_at):
    plain = serve()
    with pytest.raises(TierUnavailable, match="TLS"):
        list(tier_at(plain, base_url=f"https://127.0.0.1:{plain.port}/v1", connect_seconds=0.3).stream(call()))
    assert plain.requests == []


def test_a_bundle_that_holds_no_certificates_is_named(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    tier = OpenAITier("m", base_url="https://127.0.0.1:9/v1", ca_bundle=bundle)
    with pytest.raises(TierUnavailable, match="ca_bundle holds no certificates"):
        list(tier.stream(call()))
    tier.close()


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _terabyte(path):
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(("become", "says"), [(_pipe, "a pipe"), (_terabyte, "larger than"), (Path.unlink, "no such")])
def test_a_bundle_that_became_something_else_is_not_waited_for_and_not_read(tmp_path, become, says):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("here it was a file")
    tier = OpenAITier("m", base_url="https://127.0.0.1:9/v1", ca_bundle=bundle)
    become(bundle)
    began = time.monotonic()
    with pytest.raises(TierUnavailable, match=says):
        list(tier.stream(call(deadline=Deadline.after(30))))
    assert time.monotonic() - began < 20
    tier.close()


def test_a_bundle_may_have_comments_in_any_language_and_a_folder_is_none(server, certificate, tier_at, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes("# Főtanúsítvány\n".encode() + certificate[0].read_bytes() + b"\xff\xfe\n")
    url = f"https://localhost:{server.port}/v1"
    assert text_of(list(tier_at(server, base_url=url, ca_bundle=bundle).stream(call()))) == "ok"
    for path in (tmp_path, "~nobody-of-this-name/x", "~\0", "\0"):
        with pytest.raises(ConfigError, match="ca_bundle"):
            OpenAITier("m", base_url=url, ca_bundle=path)
