"""The configuration: one YAML file becomes a tree of frozen, typed values, or a list of all its problems."""

from oauth_proxy.settings.access import (
    Access,
    EmailsFile,
    Everyone,
    Group,
    Member,
    PublicRule,
    Rule,
    expanded,
    parse_public_rule,
)
from oauth_proxy.settings.addresses import (
    OUR_ROUTES,
    UpstreamUrl,
    is_ip,
    parse_domain,
    parse_network,
    parse_path_prefix,
    parse_public_url,
    parse_upstream_url,
)
from oauth_proxy.settings.assets import asset_rules
from oauth_proxy.settings.changes import changes
from oauth_proxy.settings.documents import effective, schema, template
from oauth_proxy.settings.emails import EmailList, EmailPattern, parse_email_pattern, read_email_list
from oauth_proxy.settings.first import Answers, first_file
from oauth_proxy.settings.frameio import DEFAULT_SCOPES, Frameio, Webhook
from oauth_proxy.settings.headers import DEFAULT_HEADERS, any_has, parse_header_name, parse_header_template
from oauth_proxy.settings.lines import Lines
from oauth_proxy.settings.listeners import Listen, parse_listener_text
from oauth_proxy.settings.loading import Loaded, admin_listener, load, load_with_files, load_with_lines, parse
from oauth_proxy.settings.log import AuditTo, Level, Log
from oauth_proxy.settings.model import Admin, Limits, Settings, ToolApi, UpstreamSettings
from oauth_proxy.settings.notes import notes
from oauth_proxy.settings.pages import Pages
from oauth_proxy.settings.problems import Refused, quoted
from oauth_proxy.settings.proxies import Proxies, Proxy
from oauth_proxy.settings.scalars import write_duration
from oauth_proxy.settings.session import Cookie, Session, fresh_secret
from oauth_proxy.settings.stores import Redis, Sqlite, Store, parse_store
from oauth_proxy.settings.tls import Pair, Tls

__all__ = [
    "DEFAULT_HEADERS",
    "DEFAULT_SCOPES",
    "OUR_ROUTES",
    "Access",
    "Admin",
    "Answers",
    "AuditTo",
    "Cookie",
    "EmailList",
    "EmailPattern",
    "EmailsFile",
    "Everyone",
    "Frameio",
    "Group",
    "Level",
    "Limits",
    "Lines",
    "Listen",
    "Loaded",
    "Log",
    "Member",
    "Pages",
    "Pair",
    "Proxies",
    "Proxy",
    "PublicRule",
    "Redis",
    "Refused",
    "Rule",
    "Session",
    "Settings",
    "Sqlite",
    "Store",
    "Tls",
    "ToolApi",
    "UpstreamSettings",
    "UpstreamUrl",
    "Webhook",
    "admin_listener",
    "any_has",
    "asset_rules",
    "changes",
    "effective",
    "expanded",
    "first_file",
    "fresh_secret",
    "is_ip",
    "load",
    "load_with_files",
    "load_with_lines",
    "notes",
    "parse",
    "parse_domain",
    "parse_email_pattern",
    "parse_header_name",
    "parse_header_template",
    "parse_listener_text",
    "parse_network",
    "parse_path_prefix",
    "parse_public_rule",
    "parse_public_url",
    "parse_store",
    "parse_upstream_url",
    "quoted",
    "read_email_list",
    "schema",
    "template",
    "write_duration",
]
