"""The pages a visitor sees, and the script for pages of the tool; and those of operators: the status page."""

from oauth_proxy.pages.looks import Accent, Contact, Looks, read_logo
from oauth_proxy.pages.operators import OperatorPages
from oauth_proxy.pages.render import Page, Pages
from oauth_proxy.pages.script import session_script
from oauth_proxy.pages.words import Action, Label

__all__ = [
    "Accent",
    "Action",
    "Contact",
    "Label",
    "Looks",
    "OperatorPages",
    "Page",
    "Pages",
    "read_logo",
    "session_script",
]
