"""Who is measured: how each proxy is told to do the same work, on one core and with its access log off."""

import json
import secrets
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trustme

from bench import frameio
from bench.installed import absent, of_python, said
from oauth_proxy.demo.dialects import V2

APACHE_MODULES = Path("/usr/lib/apache2/modules")
APACHE_LOADED = (
    *("mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "proxy_wstunnel"),
    "auth_openidc",
)


URL_SAFE = str.maketrans("+/", "-_")
"""From standard base64 to the other one (RFC 4648 5), which is what oauth2-proxy reads."""


@dataclass(frozen=True)
class Certificate:
    """Files of what every peer shows who speaks TLS, with an ECDSA key on P-256, and of who has signed it."""

    chain: Path
    key: Path
    authority: Path

    @classmethod
    def issue(cls, folder: Path) -> "Certificate":
        """A new one, in `folder`, for localhost and its address."""
        made = cls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
        issued.cert_chain_pems[0].write_to_path(str(made.chain))
        issued.private_key_pem.write_to_path(str(made.key))
        authority.cert_pem.write_to_path(str(made.authority))
        return made


@dataclass(frozen=True)
class World:
    """Ports of what stands behind every proxy, and what the parties to a login share."""

    upstream: int
    live: int
    issuer: int
    folder: Path
    certificate: Certificate
    frameio: int = 0
    """Of the emulated Frame.io; every process that sends visitors there has one of its own."""
    client_secret: str = field(default_factory=secrets.token_hex, repr=False)
    key: str = field(default_factory=lambda: b64encode(secrets.token_bytes(32)).decode(), repr=False)


@dataclass(frozen=True)
class Place:
    """The port a proxy listens on, the one that its visitors are told of (`public`), a folder for its files."""

    port: int
    public: int
    folder: Path
    tls: Certificate | None = None
    """What it shows who speaks TLS; None where it speaks none."""
    workers: int = 1
    """How many processes serve, where a proxy is told; those written in Go use every core that they have."""

    @property
    def public_url(self) -> str:
        """What visitors type."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.public}"

    def write(self, name: str, text: str) -> str:
        """The path of a file in the folder with that text."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


@dataclass(frozen=True)
class Peer:
    """One column. `launch` writes its configuration and returns its command; it signs in at `login`."""

    name: str
    launch: Callable[[World, Place], list[str]]
    version: Callable[[], str]
    login: Literal["frameio", "oidc"] | None = None
    speaks_tls: bool = False
    """Whether it is told how to, for the rows that ask what that costs."""
    missing: Callable[[], str | None] = lambda: None
    """Why it cannot take part, or None."""
    environ: Mapping[str, str] = field(default_factory=dict)


def ours(world: World, place: Place, *, access_log: bool = False) -> list[str]:
    """This project, as its command runs it; JSON is YAML too."""
    emulator = f"http://127.0.0.1:{world.frameio}"
    tree: dict[str, Any] = {
        "public_url": place.public_url,
        "listen": f"127.0.0.1:{place.port}",
        "workers": place.workers,
        "frameio": {
            "api": "v2",
            "client_id": frameio.CLIENT_ID,
            "client_secret": world.client_secret,
            "authorize_url": emulator + V2.authorize,
            "token_url": emulator + V2.token,
            "revoke_url": emulator + V2.revoke,
            "api_url": emulator,
        },
        "session": {"secret": world.key},
        "upstreams": {
            "/": f"http://127.0.0.1:{world.upstream}",
            "/live/": f"http://127.0.0.1:{world.live}/live/",
        },
        "access": {"allow": ["everyone"]},
        "admin": {"listen": "127.0.0.1:0"},
        "log": {"access": access_log},
    }
    if place.tls:
        tree["tls"] = {"cert": str(place.tls.chain), "key": str(place.tls.key)}
    return [sys.executable, "-m", "oauth_proxy", "run", place.write("proxy.yaml", json.dumps(tree))]


def baseline(world: World, place: Place) -> list[str]:
    """aiohttp's server and client, as bench/baseline.py joins them."""
    command = [sys.executable, "-m", "bench.baseline", str(place.port), str(world.upstream), str(world.live)]
    return command + ([str(place.tls.chain), str(place.tls.key)] if place.tls else [])


def nginx(world: World, place: Place) -> list[str]:
    """proxy_pass with kept-alive connections, nothing buffered on disk."""
    tls = place.tls
    files = f"ssl_certificate {tls.chain}; ssl_certificate_key {tls.key};" if tls else ""
    return nginx_command(
        place.folder,
        f"""
        map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
        upstream tool {{ server 127.0.0.1:{world.upstream}; keepalive 512; keepalive_requests 1000000000; }}
        upstream live {{ server 127.0.0.1:{world.live}; keepalive 64; }}
        server {{
            listen 127.0.0.1:{place.port} {"ssl" if tls else ""} backlog=2048;
            {files}
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            location / {{ proxy_pass http://tool; }}
            location /live/ {{ proxy_pass http://live; }}
        }}""",
        place.workers,
    )


def nginx_command(folder: Path, inside_http: str, workers: int = 1) -> list[str]:
    """nginx with so many workers, everything it writes in `folder`."""
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"""daemon off; worker_processes {workers}; pid {folder}/nginx.pid; error_log stderr crit;
        worker_rlimit_nofile 16384;
        events {{ worker_connections 8192; }}
        http {{
            access_log off; keepalive_requests 1000000000; client_max_body_size 0; sendfile on; tcp_nodelay on;
            {temporary}
            {inside_http}
        }}
        """,
        "utf-8",
    )
    return ["nginx", "-c", str(path)]


def caddy(world: World, place: Place) -> list[str]:
    """reverse_proxy, and nothing else; it writes no access log unless told to."""
    tls = place.tls
    files = f"tls {tls.chain} {tls.key}" if tls else ""
    file = place.write(
        "Caddyfile",
        f"""{{
            admin off
            auto_https off
            skip_install_trust
            log {{
                level ERROR
            }}
        }}
        {"https" if tls else "http"}://:{place.port} {{
            bind 127.0.0.1
            {files}
            handle /live/* {{
                reverse_proxy 127.0.0.1:{world.live}
            }}
            handle {{
                reverse_proxy 127.0.0.1:{world.upstream}
            }}
        }}
        """,
    )
    return ["caddy", "run", "--config", file, "--adapter", "caddyfile"]


def apache(world: World, place: Place) -> list[str]:
    """mod_auth_openidc with its session in a cookie; a thread for every WebSocket, as event has no other way."""
    loaded = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in APACHE_LOADED)
    file = place.write(
        "apache.conf",
        f"""{loaded}
        ServerRoot {place.folder}
        DefaultRuntimeDir {place.folder}
        PidFile {place.folder}/apache.pid
        Mutex file:{place.folder}
        ErrorLog /dev/stderr
        LogLevel error
        ServerName localhost:{place.public}
        UseCanonicalName On
        Listen 127.0.0.1:{place.port}
        ListenBacklog 2048
        User www-data
        Group www-data
        StartServers 1
        ServerLimit 1
        ThreadLimit 1200
        ThreadsPerChild 1200
        MaxRequestWorkers 1200
        MinSpareThreads 1
        MaxSpareThreads 1200
        KeepAlive On
        MaxKeepAliveRequests 0
        KeepAliveTimeout 60
        OIDCProviderMetadataURL http://127.0.0.1:{world.issuer}/.well-known/openid-configuration
        OIDCClientID {frameio.CLIENT_ID}
        OIDCClientSecret {world.client_secret}
        OIDCRedirectURI {place.public_url}/oauth2/callback
        OIDCCryptoPassphrase {world.key}
        OIDCSessionType client-cookie
        OIDCSessionInactivityTimeout 86400
        OIDCScope "openid email"
        ProxyPreserveHost On
        ProxyPass /oauth2/ !
        ProxyPass /live/ http://127.0.0.1:{world.live}/live/ upgrade=websocket
        ProxyPass / http://127.0.0.1:{world.upstream}/
        <Location />
            AuthType openid-connect
            Require valid-user
        </Location>
        """,
    )
    return ["apache2", "-f", file, "-DFOREGROUND"]


def oauth2_proxy(world: World, place: Place) -> list[str]:
    """Its oidc provider, its session in a cookie, the token handed on as ours is."""
    return [
        "oauth2-proxy",
        f"--http-address=127.0.0.1:{place.port}",
        "--provider=oidc",
        f"--oidc-issuer-url=http://127.0.0.1:{world.issuer}",
        f"--client-id={frameio.CLIENT_ID}",
        f"--client-secret={world.client_secret}",
        f"--redirect-url={place.public_url}/oauth2/callback",
        f"--cookie-secret={world.key.translate(URL_SAFE)}",
        "--cookie-secure=false",
        "--email-domain=*",
        "--insecure-oidc-allow-unverified-email=true",
        "--skip-provider-button=true",
        "--pass-access-token=true",
        f"--upstream=http://127.0.0.1:{world.upstream}/",
        f"--upstream=http://127.0.0.1:{world.live}/live/",
        "--request-logging=false",
        "--auth-logging=false",
        "--standard-logging=false",
    ]


def _apache_version() -> str:
    module = said("dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-auth-openidc")()
    return f"{said('apache2', '-v', after='Apache/')()}, mod_auth_openidc {module}"


ONE_CORE = {"GOMAXPROCS": "1"}
OURS = Peer("ours", ours, of_python("frameio-oauth-proxy"), "frameio", speaks_tls=True)
LOGGING = replace(OURS, launch=partial(ours, access_log=True))
NGINX = Peer(
    "nginx",
    nginx,
    said("nginx", "-v", after="nginx/"),
    speaks_tls=True,
    missing=absent("nginx", "apt-get install nginx"),
)
PEERS = (
    NGINX,
    OURS,
    Peer("ClientSession", baseline, of_python("aiohttp"), speaks_tls=True),
    Peer(
        "Caddy",
        caddy,
        said("caddy", "version"),
        speaks_tls=True,
        missing=absent("caddy", "apt-get install caddy"),
        environ=ONE_CORE | {"HOME": "/nonexistent"},
    ),
    Peer(
        "Apache",
        apache,
        _apache_version,
        "oidc",
        missing=absent(
            "apache2",
            "apt-get install apache2 libapache2-mod-auth-openidc",
            APACHE_MODULES / "mod_auth_openidc.so",
        ),
    ),
    Peer(
        "oauth2-proxy",
        oauth2_proxy,
        said("oauth2-proxy", "--version", after="oauth2-proxy "),
        "oidc",
        missing=absent("oauth2-proxy", "go install github.com/oauth2-proxy/oauth2-proxy/v7@latest"),
        environ=ONE_CORE,
    ),
)
