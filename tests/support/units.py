"""Sizes in bytes and times in seconds, as tests name them."""

PATIENCE = 60.0
"""After which a test that waits has failed."""

NOW = 1_800_000_000.0
"""What a clock says that has not been told otherwise: in January 2027."""

KIB = 1024
MIB = 1024 * KIB

HOUR = 3600.0
DAY = 24 * HOUR

WEEK_AND_A_DAY = 8 * DAY
"""After which a session is over: its default lifetime is a week."""
