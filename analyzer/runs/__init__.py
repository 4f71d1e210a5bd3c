"""Logs read from end to end: on threads, with a state, on a Dask cluster, or as rows."""
