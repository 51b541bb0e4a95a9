"""The status page of the admin listener: how the proxy is, who is signed in, and a few things to do about it.

`status.page` is imported when somebody opens the page first: it takes a twentieth of a start, and many never do.
"""

from oauth_proxy.status.guard import PATHS, Guard, are_local

__all__ = ["PATHS", "Guard", "are_local"]
