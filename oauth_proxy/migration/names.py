"""oauth2-proxy's names: which flag is which key, and why most keys have no counterpart here."""

from collections.abc import Mapping

PLURAL: Mapping[str, str] = {
    flag: f"{flag}s"
    for flag in (
        *("allowed_group", "allowed_role", "api_route", "cookie_domain", "email_domain", "github_user"),
        *("gitlab_group", "gitlab_project", "google_group", "htpasswd_user_group", "keycloak_group"),
        *("oidc_audience_claim", "oidc_extra_audience", "oidc_public_key_file", "provider_ca_file"),
        *("entra_id_allowed_tenant", "skip_auth_route", "tls_cipher_suite", "trusted_ip", "trusted_proxy_ip"),
        *("upstream", "whitelist_domain"),
    )
}
"""Flags that may be given several times, with '_' for '-': in a file they have another name."""
OLD: Mapping[str, str] = {
    "cookie_domain": "cookie_domains",
    "gitlab_group": "gitlab_groups",
    "google_group": "google_groups",
    "keycloak_group": "keycloak_groups",
}
"""Keys of older versions' files."""

RESTRICTING = frozenset(
    (
        *("allowed_groups", "allowed_roles", "azure_tenant", "bitbucket_repository", "bitbucket_team"),
        *("entra_id_allowed_tenants", "github_org", "github_repo", "github_team", "github_users"),
        *("gitlab_groups", "gitlab_projects", "google_groups", "keycloak_groups"),
    )
)
"""Keys that let in fewer people than the email rules do."""
RESTRICTING_ALPHA = frozenset(
    (
        *("allowedgroups", "allowedtenants", "group", "groups", "org", "projects", "repo", "repository"),
        *("roles", "team", "tenant", "users"),
    )
)
"""The same below `providers` of an alpha configuration, in lower case."""

PROVIDER = (
    "acr_values approval_prompt azure_graph_group_field backend_logout_url client_id client_secret "
    "client_secret_file code_challenge_method entra_id_federated_token_auth force_code_challenge_method "
    "github_token google_admin_email google_service_account_json google_target_principal "
    "google_use_application_default_credentials insecure_oidc_allow_unverified_email "
    "insecure_oidc_skip_issuer_verification insecure_oidc_skip_nonce jwt_key jwt_key_file login_url "
    "oidc_audience_claims oidc_email_claim oidc_extra_audiences oidc_groups_claim oidc_issuer_url "
    "oidc_jwks_url oidc_public_key_files oidc_roles_claim profile_url prompt provider provider_ca_files "
    "provider_display_name pubjwk_url redeem_url resource scope skip_claims_from_profile_url "
    "skip_oidc_discovery ssl_insecure_skip_verify use_system_trust_store user_id_claim validate_url"
)
"""Keys about the provider that oauth2-proxy signed people in with."""

WITHOUT: tuple[tuple[str, str, str], ...] = (
    (
        "frameio",
        PROVIDER,
        "Frame.io is the provider here, with an app, a client id and a secret of its own",
    ),
    (
        "session",
        "cookie_secret cookie_secret_file",
        "sessions of the one do not open in the other; `oauth-proxy secret` prints a fresh secret",
    ),
    (
        "access",
        "htpasswd_file htpasswd_user_groups display_htpasswd_form",
        "there are no local passwords: everybody signs in with Frame.io",
    ),
    (
        "access",
        "trusted_ips",
        "an address lets nobody in without a session; what needs no sign-in stands under access.public",
    ),
    (
        "access",
        "skip_jwt_bearer_tokens extra_jwt_issuers bearer_token_login_fallback",
        "tokens of other issuers let nobody in; access.bearer lets programs in with a Frame.io token",
    ),
    (
        "access",
        "whitelist_domains",
        "after signing in and out visitors go to an address of this site only",
    ),
    ("headers", "signature_key", "requests to the tool are not signed with GAP-Signature"),
    ("tls", "tls_cipher_suites", "the cipher suites are those of OpenSSL's defaults"),
    (
        "admin",
        "metrics_secure_address metrics_tls_cert_file metrics_tls_key_file",
        "metrics are served over http only, on admin.listen",
    ),
    (
        "admin",
        "ping_path ping_user_agent ready_path gcp_healthchecks",
        "/healthz and /readyz of admin.listen are for health checks, and nothing of that is public",
    ),
    (
        "log",
        "auth_logging auth_logging_format errors_to_info_log exclude_logging_path exclude_logging_paths "
        "logging_compress logging_filename logging_local_time logging_max_age logging_max_backups "
        "logging_max_size request_id_header request_logging_format silence_ping_logging standard_logging "
        "standard_logging_format",
        "the log goes to standard error, in the format that log.format names",
    ),
    (
        "pages",
        "banner footer custom_sign_in_logo custom_templates_dir show_debug_on_error",
        "pages.templates takes Jinja2 templates in place of ours; Go's templates do not work there",
    ),
    (
        "",
        "redis_ca_path redis_insecure_skip_tls_verify redis_sentinel_password",
        "this cannot be set; a Redis over TLS (rediss://) is verified with the system's certificates",
    ),
)
"""(our section, their keys, why they are not carried over)."""

NEEDLESS: tuple[tuple[str, str], ...] = (
    ("skip_provider_button", "visitors always go straight to Frame.io"),
    ("cookie_httponly", "the cookie is always HttpOnly"),
    ("cookie_secure", "the cookie is Secure wherever public_url is https"),
    ("cookie_csrf_per_request cookie_csrf_per_request_limit cookie_csrf_expire", "each login has its own cookie"),
    ("session_cookie_minimal", "a session that is too large for cookies goes to the store"),
    ("flush_interval disable_keep_alives", "answers are passed on as they come"),
    ("api_routes force_json_errors", "programs get 401 in JSON, and only people are redirected"),
    ("force_https", "public_url is https; what listens for http redirects in front of the proxy"),
    ("relative_redirect_url encode_state allow_query_semicolons", "there is nothing to choose"),
    ("redis_connection_idle_timeout", "idle connections are kept alive"),
)
"""(their keys, why none is needed here)."""

REPLACED_BY_ALPHA = frozenset(
    (
        *("upstreams", "upstream_timeout", "pass_host_header", "ssl_upstream_insecure_skip_verify"),
        *("pass_basic_auth", "pass_user_headers", "pass_access_token", "pass_authorization_header"),
        *("prefer_email_to_user", "basic_auth_password", "set_xauthrequest", "set_authorization_header"),
        *("set_basic_auth", "skip_auth_strip_headers", "http_address", "https_address", "tls_cert_file"),
        *("tls_key_file", "tls_min_version", "metrics_address"),
    )
)
"""Keys that say nothing where there is an alpha configuration."""

NOT_THEIRS = ("port", "service_host", "service_port")
"""What Kubernetes puts into the environment for a service that is called oauth2-proxy; not settings at all."""
