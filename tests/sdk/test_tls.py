"""Upstreams behind TLS and behind a proxy."""

from __future__ import annotations

import ssl

import openai
import pytest
import trustme

from gateway import deployment
from tunnel import Proxy, TlsFront

ASK = [{"role": "user", "content": "hi"}]


class Secured:
    """An upstream that is reached at https://localhost:port, and who vouches for it."""

    def __init__(self, upstream, tmp_path, name="localhost"):
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        self.roots = tmp_path / "roots.pem"
        authority.cert_pem.write_to_path(self.roots)
        self.front = TlsFront(context, int(upstream.url.rsplit(":", 1)[1]))
        self.base = f"https://localhost:{self.front.port}/v1"

    def trusted(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.roots)}


@pytest.fixture
def secured(upstream, tmp_path):
    started = []

    def start(*script, **options):
        started.append(Secured(upstream(*script), tmp_path, **options))
        return started[-1]

    yield start
    for one in started:
        one.front.close()


@pytest.fixture
def proxy():
    proxy = Proxy()
    yield proxy
    proxy.close()


def ask(gateway):
    return gateway.client().chat.completions.create(model="g", messages=ASK)


def test_a_tls_upstream_whose_root_is_in_ssl_cert_file_answers(hale, secured):
    upstream = secured()
    gateway = hale(deployment("g", api_base=upstream.base), environment=upstream.trusted())
    assert ask(gateway).model == "g"
    streamed = gateway.client().chat.completions.create(model="g", messages=ASK, stream=True)
    assert [chunk.model for chunk in streamed][0] == "g"


def test_an_unknown_root_is_a_tls_failure_that_says_so(hale, secured):
    gateway = hale(deployment("g", api_base=secured().base, num_retries=0))
    with pytest.raises(openai.APIStatusError) as failed:
        ask(gateway)
    assert failed.value.status_code == 502
    attempt = failed.value.body["attempts"][0]
    assert attempt["cause"] == "tls"
    assert "UnknownIssuer" in attempt["message"]


def test_a_certificate_for_another_name_is_refused(hale, secured):
    upstream = secured(name="elsewhere.example")
    gateway = hale(deployment("g", api_base=upstream.base), environment=upstream.trusted())
    with pytest.raises(openai.APIStatusError) as failed:
        ask(gateway)
    assert failed.value.body["attempts"][0]["cause"] == "tls"
    assert "not valid for name" in failed.value.body["attempts"][0]["message"]


def test_a_tls_upstream_is_reached_through_https_proxy(hale, secured, proxy):
    upstream = secured()
    environment = {"HTTPS_PROXY": f"http://user:pass@127.0.0.1:{proxy.port}", **upstream.trusted()}
    gateway = hale(deployment("g", api_base=upstream.base), environment=environment)
    assert ask(gateway).model == "g"
    assert proxy.targets == [f"localhost:{upstream.front.port}"]
    assert proxy.authorization.startswith("Basic ")


def test_no_proxy_goes_directly(hale, secured, proxy):
    upstream = secured()
    environment = {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "NO_PROXY": "localhost",
        **upstream.trusted(),
    }
    gateway = hale(deployment("g", api_base=upstream.base), environment=environment)
    assert ask(gateway).model == "g"
    assert proxy.targets == []


def test_a_proxy_that_refuses_connections_is_named(hale, secured):
    upstream = secured()
    closed = Proxy()
    closed.close()
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{closed.port}", **upstream.trusted()}
    gateway = hale(deployment("g", api_base=upstream.base, num_retries=0), environment=environment)
    with pytest.raises(openai.APIStatusError) as failed:
        ask(gateway)
    assert failed.value.body["attempts"][0]["cause"] == "connect"
    assert "through the proxy" in failed.value.body["attempts"][0]["message"]
