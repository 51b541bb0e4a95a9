"""The processes of one proxy: a parent that serves nothing, and workers that do."""

from oauth_proxy.process.handed import Given
from oauth_proxy.process.launch import run_processes

__all__ = ["Given", "run_processes"]
