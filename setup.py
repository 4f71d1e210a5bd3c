"""Build the parts in C, which are optional, and place ``rules/`` inside the package; the rest is in pyproject.toml."""

import os
from glob import glob

from setuptools import Extension, find_packages, setup

RULES = "analyzer._rules"

setup(
    packages=[*find_packages(include=["analyzer*"]), RULES],
    package_dir={RULES: "rules"},
    package_data={
        RULES: ["*/*.toml"],
        "analyzer": ["py.typed", "report/*.json", "report/html/*.html", "report/html/*.css"],
    },
    ext_modules=[
        Extension(
            name,
            sources=[source],
            depends=glob("analyzer/**/*.h", recursive=True),
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-O3", "-fvisibility=hidden"],
            # Without a compiler logscan installs all the same and reads with the portable scanner.
            optional=os.environ.get("LOGSCAN_REQUIRE_NATIVE", "") in {"", "0"},
        )
        for name, source in {
            "analyzer.parsing._scanner": "analyzer/parsing/scanner.c",
            "analyzer.tables._limit_req": "analyzer/tables/limit_req.c",
            "analyzer.tables._address_table": "analyzer/tables/address_table.c",
            "analyzer.tables._chains": "analyzer/tables/chains.c",
            "analyzer.tables._loads": "analyzer/tables/loads.c",
            "analyzer.tables._policies": "analyzer/tables/policies.c",
            "analyzer.tables._timeline": "analyzer/tables/timeline.c",
        }.items()
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
