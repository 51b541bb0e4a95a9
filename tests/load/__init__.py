"""Load that is looked at, not asserted: one process of the proxy, its memory, and what others notice."""
