"""Sizes in bytes and times in seconds, as tests name them."""

KIB = 1024
MIB = 1024 * KIB

HOUR = 3600.0
DAY = 24 * HOUR
