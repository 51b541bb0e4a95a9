"""What the tool's pages have in common: where their templates are, and the headers they come with."""

import jinja2

PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("oauth_proxy.demo", "pages"), autoescape=True, undefined=jinja2.StrictUndefined
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'",
}
