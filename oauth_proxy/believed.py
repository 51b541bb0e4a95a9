"""Headers from which some server takes the path, host, scheme, method, client or user of a request.

The law: none of them is forwarded from a visitor. Many servers trust them by default, or when configured to be
behind a proxy. Headers that the scripts of a tool's own pages send are not listed: `X-Requested-With`, an API key,
`X-User-Id` together with a token, `X-Middleware-Prefetch`.
"""

from collections.abc import Iterator

# Names as `headers.normal` folds them, with `*` at the end as a wildcard; who trusts them, and for what.
_BELIEVED: tuple[tuple[str, str], ...] = (
    # Path
    ("script-name path-info", "gunicorn, from loopback and Unix sockets: which part of the path the tool sees"),
    ("path-translated script-filename document-root document-uri", "CGI and PHP: which file is run"),
    (
        "request-uri request-url request-path query-string",
        "gunicorn, if it is told that a front sets them: the target",
    ),
    ("x-script-name x-scheme", "Flask's ReverseProxied recipe, Airflow, Calibre-Web: path and scheme"),
    ("x-request-uri x-request-url x-request-path x-override-url", "Tomcat connectors, Lua modules: the target"),
    ("x-original-url x-rewrite-*", "IIS rewriting, Symfony, Laminas, CakePHP, ASP.NET: the path that is routed"),
    ("x-original-uri x-original-path x-original-args", "ingress-nginx and its auth services: the target"),
    ("x-waws-unencoded-url", "Azure App Service: the target"),
    ("x-replaced-path", "tools behind Traefik: the path before it was replaced"),
    ("x-ingress-path", "Home Assistant's add-ons: the prefix"),
    ("x-rstudio-root-path x-rstudio-request x-rstudio-username", "RStudio, Posit Workbench: prefix, target, user"),
    ("x-matched-path x-now-route-matches x-invoke-*", "Next.js, minimal mode: the route"),
    ("x-middleware-subrequest* x-middleware-skip", "Next.js: its middleware is passed over (CVE-2025-29927)"),
    ("x-middleware-rewrite x-middleware-redirect x-middleware-next", "Next.js: where a request goes on"),
    ("x-middleware-override-headers x-middleware-request-*", "Next.js: other header lines"),
    (
        "x-sendfile* x-accel-*",
        "Rack::Sendfile (CVE-2025-61780), Django and Rails behind nginx: files of the front's",
    ),
    ("x-envoy-*", "Envoy, Istio: original path, whether a request is internal, who calls"),
    # Host
    ("x-host x-real-host x-http-host-override x-host-override", "PHP and Node frameworks: the host"),
    ("x-original-host disguised-host was-default-hostname", "Azure, IIS rewriting: the host"),
    (
        "server-name server-addr server-port server-protocol",
        "gunicorn, if it is told that a front sets them: the host",
    ),
    # Scheme
    ("x-url-scheme x-protocol x-protocol-scheme x-edge-scheme", "Django settings, PHP, MDN's list: https or not"),
    ("front-end-https", "Microsoft's proxies, Rails, Drupal: https or not"),
    ("https x-https", "WordPress, WooCommerce by HTTP_HTTPS: https or not"),
    ("x-original-proto x-original-scheme x-original-prefix x-original-port", "ASP.NET's forwarded headers"),
    ("x-arr-*", "ASP.NET behind IIS request routing: https or not, a client's certificate"),
    (
        "cloudfront-forwarded-proto cloudfront-viewer-address",
        "Django, Rails, PHP behind CloudFront: scheme, client",
    ),
    ("cf-visitor", "WordPress and others behind Cloudflare: scheme"),
    ("x-sp-edge-*", "PHP tools behind StackPath: scheme"),
    # Method
    ("x-http-method*", "Rails, Symfony, Laravel, Express, Spring, ASP.NET: another method"),
    ("x-method-override x-original-method request-method", "IBM's and ingress-nginx's names for it"),
    # All of these at once
    ("forwarded* x-forward*", "RFC 7239 and its elders: uvicorn, hypercorn, Waitress, Werkzeug, Rack, Spring, …"),
    ("x-real-*", "nginx recipes, Gin, Echo, Traefik: client, host, target"),
    ("x-proxy* proxy-*", "NiFi, Jetty, WebLogic, Nexus: client, host, prefix, user; Jetty, client certificates"),
    ("proxy", "CGI as HTTP_PROXY: the proxy of the tool's own requests (CVE-2016-5385)"),
    ("wl-proxy-*", "WebLogic: client, scheme, a client's certificate"),
    ("-ws*", "WebSphere and Liberty by $WSRU, $WSRA and the like: user, client, host, scheme"),
    (
        "x-apigateway-* x-amzn-request-context x-amzn-lambda-context",
        "serverless-express, Lambda Web Adapter: user",
    ),
    ("x-vercel-forwarded-for x-vercel-proxied-for x-vercel-ip-*", "Next.js and others at Vercel: client"),
    ("fly-client-ip fly-forwarded-*", "tools at Fly.io: client, scheme"),
    ("fastly-client* fastly-ssl", "tools behind Fastly: client, scheme"),
    ("x-azure-clientip x-azure-socketip x-azure-fdid", "tools behind Azure Front Door: client"),
    ("x-appengine-* x-google-*", "tools at App Engine: client, user, whether it is a cron job"),
    # Client
    ("client-ip x-client-ip x-true-client-ip true-client-ip", "request-ip for Node, Django-ipware, PHP, Akamai"),
    ("x-cluster-client-ip cluster-client-ip x-originating-* x-source-ip", "Zeus, Rackspace, Django-ipware, PHP"),
    ("cf-connecting-* cf-pseudo-ipv4", "tools behind Cloudflare"),
    ("incap-client-ip x-sucuri-* do-connecting-ip x-nf-client-connection-ip", "tools behind these services"),
    ("ali-cdn-real-ip cdn-real-ip cdn-src-ip x-cdn-src-ip x-coming-from", "PHP's lists of client addresses"),
    ("x-custom-ip-authorization x-original-remote-addr x-original-for", "filters by address, ASP.NET"),
    ("x-original-forwarded-for", "ingress-nginx: client"),
    # Client certificates
    ("ssl-* x-ssl*", "Tomcat's SSLValve, Undertow, Keycloak, Puppet: certificate, user, cipher"),
    ("client-cert client-cert-chain", "RFC 9440"),
    ("x-client-cert* x-clientcert* x-client-verify x-client-dn x-client-s-dn", "Puppet, Spring and Jetty recipes"),
    (
        "x-amzn-mtls-* ms-aspnetcore-*",
        "tools behind Amazon's balancers, ASP.NET Core behind IIS: certificate, user",
    ),
    # User
    ("remote-*", "Authelia and CGI: user, groups, client; Buildbot, Guacamole, JupyterHub by REMOTE_USER"),
    ("x-remote-*", "Kubernetes' front proxy, Splunk, Yamcs, Taskcafe: user, groups, client"),
    ("auth-type auth-user auth-password logon-user", "CGI, IIS: user"),
    ("x-auth-request-*", "oauth2-proxy and who stands behind it: user, token"),
    ("x-auth-user* x-auth-name x-auth-email x-auth-id x-auth-groups x-auth-roles", "gateways' usual names: user"),
    ("x-webauth-*", "Grafana, Gitea, Forgejo, Traefik's basicAuth: user, role"),
    ("x-authenticated-* x-consumer-* x-credential-* x-anonymous-consumer", "Kong; Etherpad, GeoServer: user"),
    ("x-userinfo x-token-user-* x-token-subject", "APISIX, caddy-security: user"),
    ("x-endpoint-*", "Google's API gateways: user, without a signature"),
    ("x-goog-authenticated-* x-goog-iap-*", "tools behind Google's IAP: user"),
    ("x-ms-client-principal* x-ms-token-*", "tools at Azure App Service: user, token"),
    ("x-amzn-oidc-*", "tools behind Amazon's balancers: user"),
    ("cf-access-*", "tools behind Cloudflare Access: user"),
    ("x-pomerium-* x-authentik-* x-vouch-* tailscale-* teleport-*", "tools behind these: user"),
    ("x-user x-username x-role x-roles x-team x-first-name x-last-name", "CloudBeaver and others: user"),
    ("x-sso-* x-identity-*", "Nexus; OpenStack's services behind Keystone: user"),
    ("shiny-server-credentials rstudio-connect-credentials", "Shiny, Posit Connect: user, groups"),
    ("oidc-* mellon-* cas-user shib-*", "Apache's sign-in modules: user"),
    ("eppn persistent-id subject-id pairwise-id affiliation entitlement uid mail", "Shibboleth's attributes"),
    ("sm-* smuser", "tools behind SiteMinder: user"),
    ("iv-*", "tools behind WebSEAL: user, groups"),
    ("oam-* osso-* idcs-*", "tools behind Oracle's Access Manager and App Gateway: user"),
    ("x-scope-orgid", "Loki, Mimir, Tempo: whose data"),
)
_CARRIERS = ("grpc-metadata-",)
"""Prefixes of header names: grpc-gateway forwards a header without this prefix."""


def table() -> Iterator[tuple[tuple[str, ...], str]]:
    """The names, with `*` at the end as a wildcard, and who trusts them for what."""
    for names, by in _BELIEVED:
        yield tuple(names.split()), by


_NAMES = frozenset(name.encode() for names, _ in table() for name in names if not name.endswith("*"))
_FAMILIES = tuple(name[:-1].encode() for names, _ in table() for name in names if name.endswith("*"))


def is_believed(folded: bytes) -> bool:
    """Whether some server trusts a header of this name, which `headers.normal` has folded."""
    for carrier in _CARRIERS:
        folded = folded.removeprefix(carrier.encode())
    return folded in _NAMES or folded.startswith(_FAMILIES)
