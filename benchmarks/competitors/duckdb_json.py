"""DuckDB: `read_json` on Kong's file-log, totals per client address.

`detect` finds out itself what the objects hold; `columns` is told exactly the four values that the totals need, and
reads no others.
"""

from __future__ import annotations

import json
import sys

import duckdb

COLUMNS = """, columns = {
  'client_ip': 'VARCHAR', 'started_at': 'UBIGINT', 'response': 'STRUCT(status USMALLINT, size UBIGINT)'
}"""
QUERY = """
SELECT CAST(sum(n) AS BIGINT), count(*), CAST(sum(errors) AS BIGINT), CAST(sum(bytes) AS BIGINT), min(first), max(last)
FROM (
  SELECT client_ip, count(*) AS n, count(*) FILTER (response.status >= 500) AS errors, sum(response.size) AS bytes,
         min(started_at) AS first, max(started_at) AS last
  FROM read_json(?, format = 'newline_delimited'{columns})
  GROUP BY client_ip)
"""

way, path = sys.argv[1:]
query = QUERY.replace("{columns}", COLUMNS if way == "columns" else "")
rows, addresses, errors, body, first, last = duckdb.connect().execute(query, [path]).fetchall()[0]
print(json.dumps({"rows": rows, "addresses": addresses, "errors": errors, "bytes": body, "range": [first, last]}))
