"""Readings: the mergeable tables, turned into the numbers a person reads; one module per section of the report.

A reading never sees a log line. It takes small frames, returns one frozen dataclass whose field names are the keys of
the JSON report (a trailing underscore, as in ``class_``, is dropped there). It names its rows for a frame and for a
chart; how either is shown it does not know.
"""
