"""What would happen to a request, and by which lines of the file: the door's decisions, told instead of done."""

from oauth_proxy.explain.telling import Question, explained

__all__ = ["Question", "explained"]
