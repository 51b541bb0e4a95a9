"""The pages a visitor sees, and the script for pages of the tool; and those of operators (in `pages.operators`).

Jinja2 and what needs it are imported with the first page.
"""

from oauth_proxy.pages.looks import Accent, Contact, Looks, read_logo
from oauth_proxy.pages.render import Page, Pages
from oauth_proxy.pages.script import session_script
from oauth_proxy.pages.words import Action, Label

__all__ = [
    "Accent",
    "Action",
    "Contact",
    "Label",
    "Looks",
    "Page",
    "Pages",
    "read_logo",
    "session_script",
]
