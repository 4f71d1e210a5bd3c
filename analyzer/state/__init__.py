"""What an incremental run remembers: which logs were read and how far, and the tables of what they held.

`store` keeps files whole or not at all in a folder, `bucket` in a bucket, `files` writes frames into them, `ledger` is
what is known of logs, `changes` tells what of them is new, `state` puts it together, `summary` is what it holds.
"""
