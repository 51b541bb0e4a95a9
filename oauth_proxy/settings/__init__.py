"""The configuration: one YAML file in, one frozen tree of typed values out, or every problem at once."""

from oauth_proxy.settings.addresses import Address, Listen, domain
from oauth_proxy.settings.document import effective, schema
from oauth_proxy.settings.limits import Limits
from oauth_proxy.settings.loading import load, parse
from oauth_proxy.settings.model import DEFAULT_HEADERS, Settings
from oauth_proxy.settings.notes import notes
from oauth_proxy.settings.parts import (
    DEFAULT_SCOPES,
    Access,
    Admin,
    Cookie,
    Frameio,
    Log,
    Pages,
    Session,
    Tls,
    ToolApi,
    Upstream,
    Webhook,
)
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.rules import (
    EmailPattern,
    Everyone,
    Member,
    PublicRule,
    Rule,
    parse_email_pattern,
    parse_public_rule,
)
from oauth_proxy.settings.stores import Redis, Sqlite, Store, parse_store
from oauth_proxy.settings.template import template

__all__ = [
    "DEFAULT_HEADERS",
    "DEFAULT_SCOPES",
    "Access",
    "Address",
    "Admin",
    "Cookie",
    "EmailPattern",
    "Everyone",
    "Frameio",
    "Limits",
    "Listen",
    "Log",
    "Member",
    "Pages",
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
    "Upstream",
    "Webhook",
    "domain",
    "effective",
    "load",
    "notes",
    "parse",
    "parse_email_pattern",
    "parse_public_rule",
    "parse_store",
    "schema",
    "template",
]
