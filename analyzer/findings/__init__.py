"""Findings: what the readings mean, why, and the change that mends it.

A finding is a rule of ``rules/findings/``: a condition over facts, an explanation, and fixes. `facts` reads the facts
off the readings and the cluster file, `rules` loads the rules, `evaluate` holds one against the other.
"""

from __future__ import annotations
