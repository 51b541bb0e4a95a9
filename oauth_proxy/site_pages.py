"""The pages of a site, as its settings want them. `check` makes them, too, and imports no server for that."""

from oauth_proxy.pages import Accent, Contact, Looks, Pages, read_logo
from oauth_proxy.settings import Settings


def pages_for(settings: Settings) -> Pages:
    """The pages of this site. Raises ConfigurationError for what `Pages` and `read_logo` refuse."""
    wanted = settings.pages
    looks = Looks(
        contact=Contact.of(wanted.contact) if wanted.contact else None,
        logo=read_logo(wanted.logo) if wanted.logo else None,
        accent=Accent.of(wanted.accent) if wanted.accent else None,
        footer=wanted.footer,
    )
    return Pages(
        name=settings.shown_name, looks=looks, templates=wanted.templates, frame_ancestors=wanted.frame_ancestors
    )
