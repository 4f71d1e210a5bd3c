"""Bytes of a log to frames of access-log columns, driven by log_format strings.

Nothing here judges an address; `analyzer.addresses` does.
"""
