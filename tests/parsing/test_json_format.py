"""What a rule file may say of a JSON line."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.errors import FormatError
from analyzer.parsing.json_format import compile_json
from analyzer.parsing.log_format import REASONS, VARIABLES, Type, compile_format

LITERAL, VALUE, TOO_LONG, CONTINUED = range(4)


def test_fields_and_columns() -> None:
    """A variable has one pointer or several, best first, and gives its column; a port stands beside its address."""
    layout = compile_json("x", {"remote_addr_port": "/peer", "status": ["/status", "/response/status"]}, ["status"])
    assert layout.columns == {"remote_addr": 0, "remote_port": 0, "status": 1}
    assert [field.pointers for field in layout.fields] == [((b"peer",),), ((b"status",), (b"response", b"status"))]
    assert [field.required for field in layout.fields] == [False, True]


def test_pointers_are_those_of_rfc_6901() -> None:
    """`~1` is a slash and `~0` a tilde, in this order; keys may be empty and of any script."""
    layout = compile_json("x", {"status": ["/a~1b", "/~01", "/", "/*/\u00e4"]}, [])
    assert layout.fields[0].pointers == ((b"a/b",), (b"~1",), (b"",), (b"*", b"\xc3\xa4"))
    assert layout.explain(0, VALUE).startswith("/a~1b or /~01 or / or /*/\u00e4 is not ")


@pytest.mark.parametrize(
    ("variable", "type_"),
    [
        ("remote_user", Type.TEXT), ("upstream_addr", Type.TEXT), ("pod", Type.TEXT), ("blanks", Type.TEXT),
        ("stream", Type.TEXT), ("cri_tag", Type.TEXT), ("syslog_time", Type.TEXT), ("time_any", Type.TIME_ANY),
        ("time_local", Type.TIME_LOCAL), ("status", Type.STATUS), ("request_time_ms", Type.MILLIS),
        ("remote_addr_port", Type.ADDRESS_PORT),
    ],
)  # fmt: skip
def test_types(variable: str, type_: Type) -> None:
    """What only says where a text ends is a text, for a JSON value ends by itself; other types stay."""
    assert compile_json("x", {variable: "/v"}, []).fields[0].type is type_


def test_required_pointers() -> None:
    """A required pointer is that of a field, or becomes a field of no column; one of several is asked for alone."""
    layout = compile_json("x", {"status": "/s", "host": ["/h", "/host"]}, ["/s", "/h", "/other/*"])
    assert [(field.variable, field.column, field.required) for field in layout.fields] == [
        ("status", "status", True), ("host", "host", False), ("/h", None, True), ("/other/*", None, True)
    ]  # fmt: skip
    assert layout.columns == {"status": 0, "host": 1}


def test_explanations() -> None:
    """A reason names the place in the object, or says that there is none."""
    layout = compile_json("x", {"status": ["/a/s", "/s"]}, ["/t"])
    assert layout.explain(-1, LITERAL) == "expected a JSON object"
    assert layout.explain(0, VALUE) == "/a/s or /s is not a status of at most three digits"
    assert layout.explain(1, LITERAL) == "expected a value at /t"
    assert layout.explain(-1, TOO_LONG) == "the line is longer than 1 MiB"


def test_every_value_that_can_be_malformed_has_a_name() -> None:
    """Both kinds of layout can say what any variable should have been."""
    for variable, (type_, _) in VARIABLES.items():
        layout = compile_json("x", {variable: "/v"}, [])
        if layout.fields[0].type is not Type.TEXT:
            assert layout.explain(0, VALUE).startswith("/v is not ")
        if type_ not in (Type.TEXT, Type.USER):
            assert compile_format(f"${variable} $status").explain(0, VALUE).startswith(f"${variable} is not ")
    assert REASONS[VALUE] == "malformed_value"


@pytest.mark.parametrize(
    ("fields", "required", "message"),
    [
        ({}, [], "expected at least one field, got none"),
        ({"colour": "/c"}, [], "expected the name of a variable, got 'colour'"),
        ({"status": "s"}, [], "expected a pointer such as /request/method, got 's'"),
        ({"status": ""}, [], "expected a pointer such as /request/method, got ''"),
        ({"status": []}, [], r"expected a pointer or several for status, got \[\]"),
        ({"status": 5}, [], "expected a pointer or several for status, got 5"),
        ({"status": [5]}, [], "expected a pointer such as /request/method, got 5"),
        ({"status": ["/a", "/a"]}, [], "expected every pointer of status once"),
        ({"status": "/a~2"}, [], "expected `~0` or `~1`"),
        ({"status": "/a~"}, [], "expected `~0` or `~1`"),
        ({"status": "/x" * 17}, [], "expected at most 16 keys in a pointer, got 17"),
        ({"status": "/s"}, ["host"], "expected one of its fields or a pointer under `required`, got 'host'"),
        ({"status": "/s"}, [["/s"]], "expected one of its fields or a pointer under `required`"),
        ({"status": "/s"}, [f"/{n}" for n in range(64)], "expected at most 64 fields, got 65"),
        ({"status": [f"/{n}" for n in range(256)]}, [], "expected at most 255 pointers, got 256"),
    ],
)
def test_what_cannot_be_meant(fields: dict[str, Any], required: list[Any], message: str) -> None:
    """A mistake is named, with what was expected and what was found."""
    with pytest.raises(FormatError, match=message):
        compile_json("x", fields, required)


def test_bounds_are_allowed() -> None:
    """The largest format that is said to be allowed is."""
    assert len(compile_json("x", {"status": "/x" * 16}, []).fields[0].pointers[0]) == 16
    assert len(compile_json("x", {"status": "/s"}, [f"/{n}" for n in range(63)]).fields) == 64
    assert len(compile_json("x", {"status": [f"/{n}" for n in range(255)]}, []).fields[0].pointers) == 255
