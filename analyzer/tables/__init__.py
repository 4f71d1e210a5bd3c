"""The mergeable tables: a frame of access-log rows becomes a few small tables, and tables with the same keys add up.

Nothing here judges an address or a number; `analyzer.readings` does.
"""

from analyzer.tables.fold import Fold, Folds, Tables
from analyzer.tables.limits import Limit, limit_grid

__all__ = ["Fold", "Folds", "Limit", "Tables", "limit_grid"]
