"""X-Forwarded-For: the walk along a chain, and which address a visitor really has.

The walk is nginx's, to the letter of ``ngx_http_get_forwarded_addr_internal`` and ``ngx_parse_addr_port``: from the
right, entries parted by blanks and commas, up to the first that is not trusted; at one that is no address it stops and
the one before it stands. What nginx takes for an address differs from what the rest of the world does: ``[::1]``
without a port, ``255.255.255.255`` and ``1:2:3:4:5:6:7::`` are none, ``1..2.03`` is 1.0.2.3.

A client may write a chain as long as the server's buffers: so many entries from the right are looked at, and no more.
Headers that were logged as one cannot be told from one header, but for an empty last one, which leaves a blank at the
end. Whose word is to be trusted is for the caller to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.addresses.ranges import MAPPED, format_addresses

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRIES = 32
"""How many entries of a chain are looked at, from the right."""
CHARACTERS = 2048
"""In how many characters of it they must stand."""

BROADCAST = MAPPED | 0xFFFF_FFFF
"""255.255.255.255, which nginx takes for no address."""

ClientFrom = pl.Enum(["remote_addr", "realip_remote_addr", "proxy_protocol_addr", "x_forwarded_for"])

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])?"
_IPV4 = rf"^0*{_OCTET}(?:\.0*{_OCTET}){{3}}$"
_WITH_PORT = r"^(?:\[([^\]]*)\]|([0-9.]*)):0*([1-9][0-9]{0,4})$"
_GROUPS = "^[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){1,7}$"
_DOTTED_END = r"^(.*:)([0-9]{1,4}\.[0-9.]*)$"
_NUMBER = pl.UInt128()


#: Classes of machines, whose word is taken on who the visitor is.
PROXIES = ("node", "lb", "private")


class Trusted:
    """Whose word is taken: the addresses of ``set_real_ip_from``; where no address is known, nobody's.

    Parameters
    ----------
    test
        Says of addresses (UInt128, none of them null) whether they are trusted (Boolean).
    """

    def __init__(self, test: Callable[[pl.Series], pl.Series]) -> None:
        self._test = test

    @classmethod
    def proxies(cls, label: Callable[[pl.DataFrame], pl.DataFrame]) -> Trusted:
        """Trust what `label` says to be of `PROXIES`, see `analyzer.addresses.classify.Classifier.label`."""
        return cls(lambda addresses: label(addresses.alias("address").to_frame())["class"].is_in(PROXIES))

    def __call__(self, addresses: pl.Series) -> pl.Series:
        """Say of each address (UInt128, null where there is none) whether it is trusted (Boolean)."""
        missing = addresses.is_null()
        # Series.set needs a row to set; an all-null column has none to ask about.
        answers = self._test(addresses.fill_null(0)) if addresses.len() else pl.Series(dtype=pl.Boolean)
        return answers.set(missing, False) if missing.any() else answers  # noqa: FBT003


class Chains(NamedTuple):
    """Chains taken apart.

    `entries` has a row for each entry that is looked at, those of a chain together and from the right: ``row`` (UInt32,
    the number of the chain), ``position`` (UInt8, 1 is the rightmost), ``address`` (UInt128, null where it is none).
    Of each chain there are `length` (UInt8, how many entries are looked at), `more` (Boolean, there are others left of
    them) and `leftmost` (UInt128).
    """

    entries: pl.DataFrame
    length: pl.Series
    more: pl.Series
    leftmost: pl.Series


def take_apart(chains: pl.Series) -> Chains:
    """Take apart chains (String) as they were logged; null, empty and ``-`` are none."""
    text = pl.col("text")
    frame = chains.alias("text").to_frame().with_row_index("row")
    frame = frame.filter(text.is_not_null() & (text != "") & (text != "-"))
    odd = text.str.starts_with(" ") | text.str.starts_with(",") | text.str.ends_with(" ")
    if frame.select(odd.any()).item():
        # nginx never takes the first character for a separator. Its headers end with no blank of their own: one at the
        # end joins an empty last header, which is no address.
        empty = pl.when(text.str.ends_with(" ")).then(pl.lit("?")).otherwise(pl.lit(""))
        frame = frame.with_columns(text.str.replace("^[ ,]", "?") + empty)
    frame = frame.select("row", text.str.strip_chars_end(" ,"))
    frame = frame.with_columns(cut=text.str.len_bytes() > CHARACTERS)
    taken = _split(frame.filter(~pl.col("cut")), pl.col("text"))
    if taken.height < frame.height:
        # What the cut left of its first entry goes, unless there is no other.
        tail = _split(frame.filter("cut"), pl.col("text").str.tail(CHARACTERS))
        tail = tail.with_columns(pl.col("part").list.slice(pl.min_horizontal(pl.col("part").list.len() - 1, 1)))
        taken = pl.concat([taken, tail]).sort("row")
    taken = taken.with_columns(count=pl.col("part").list.len())
    length = pl.min_horizontal("count", pl.lit(ENTRIES, pl.UInt32))
    taken = taken.with_columns(length=length.cast(pl.UInt8), more=pl.col("cut") | (pl.col("count") > ENTRIES))
    last = pl.col("part").list.tail(ENTRIES).list.reverse()
    exploded = taken.select("row", last, position=pl.int_ranges(1, length + 1, dtype=pl.UInt8))
    exploded = exploded.explode("part", "position")
    entries = exploded.select("row", "position", parse_entries(exploded["part"]).alias("address"))
    leftmost = entries["address"].gather(taken["length"].cast(pl.UInt32).cum_sum() - 1)
    taken = taken.with_columns(leftmost.alias("leftmost"))
    if taken["more"].any():
        far = frame.join(taken.filter("more"), on="row", how="semi", maintain_order="left")
        texts = far.select(text.str.head(CHARACTERS).str.extract("^([^ ,]*)")).to_series()
        far = far.select("row", far=parse_entries(texts))
        taken = taken.join(far, on="row", how="left", maintain_order="left")
        taken = taken.with_columns(leftmost=pl.when("more").then("far").otherwise("leftmost"))
    whole = pl.int_range(chains.len(), dtype=pl.UInt32, eager=True).alias("row").to_frame()
    whole = whole.join(taken.drop("part"), on="row", how="left", maintain_order="left")
    return Chains(entries, whole["length"].fill_null(0), whole["more"].fill_null(value=False), whole["leftmost"])


def _split(frame: pl.DataFrame, text: pl.Expr) -> pl.DataFrame:
    return frame.select("row", text.str.split("[ ,]+", literal=False).alias("part"), "cut")


def parse_entries(texts: pl.Series) -> pl.Series:
    """Return the addresses (UInt128) that nginx reads in entries (String), ports left out; null where there is none."""
    text = pl.col("text")
    frame = texts.alias("text").to_frame().with_columns(address=_parse_ipv4(texts))
    coloned = text.str.contains(":", literal=True)
    others = frame.with_row_index("row").filter(coloned)
    if others.is_empty():
        return frame["address"].alias(texts.name)
    parts = text.str.extract_groups(_WITH_PORT).struct
    bare = pl.coalesce(parts.field("1"), parts.field("2"))
    has_port = parts.field("3").cast(pl.UInt32) <= 0xFFFF
    entries = others.select(pl.when(has_port).then(bare).otherwise(text)).to_series()
    found = others.select("row", address=pl.coalesce(_parse_ipv4(entries), _parse_ipv6(entries)))
    return frame["address"].scatter(found["row"], found["address"]).alias(texts.name)


def _parse_ipv4(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    octets = [f"field_{place}" for place in range(4)]
    frame = texts.alias("text").to_frame()
    # Made one after the other, for a repeated expression would be computed again.
    frame = frame.select(pl.when(text.str.contains(_IPV4)).then(text).str.split_exact(".", 3).alias("parts"))
    frame = frame.unnest("parts").with_columns(
        pl.col(octets).cast(pl.UInt64, strict=False), known=pl.col(octets[0]).is_not_null()
    )
    number = pl.lit(MAPPED, pl.UInt64)
    for place, octet in enumerate(octets):
        number = number + pl.col(octet).fill_null(0) * 256 ** (3 - place)
    known = pl.col("known") & (number != BROADCAST)
    return frame.select(pl.when(known).then(number.cast(_NUMBER))).to_series()


def _parse_ipv6(texts: pl.Series) -> pl.Series:
    """Read IPv6 without a port: one leading colon is passed over, a trailing one behind ``::`` is a group of 0."""
    text, end, closed, count = pl.col("text"), pl.col("end"), pl.col("closed"), pl.col("count")
    frame = texts.str.strip_prefix(":").alias("text").to_frame()
    parts = text.str.extract_groups(_DOTTED_END).struct
    frame = frame.with_columns(head=parts.field("1"), tail=parts.field("2"), dotted=parts.field("2").is_not_null())
    # The last 32 bits in dotted form are two groups.
    frame = frame.with_columns(end=_parse_ipv4(frame["tail"]) - pl.lit(MAPPED, _NUMBER))
    whole = pl.when("dotted").then(pl.when(end.is_not_null()).then(pl.col("head") + "0:0")).otherwise(text)
    frame = frame.select(whole.alias("text"), end.fill_null(0))
    frame = frame.select(text + pl.when(text.str.ends_with(":")).then(pl.lit("0")).otherwise(pl.lit("")), "end",
                         closed=text.str.ends_with(":"))  # fmt: skip
    frame = frame.with_columns(text=pl.when(text.str.contains(_GROUPS)).then(text))
    groups = [f"field_{place}" for place in range(8)]
    frame = frame.with_columns(text.str.split_exact(":", 7).struct.unnest(), count=text.str.count_matches(":") + 1)
    gaps = pl.sum_horizontal(pl.col(name) == "" for name in groups)
    gap = pl.coalesce(pl.when(pl.col(name) == "").then(place) for place, name in enumerate(groups)).fill_null(8)
    fits = pl.when(gaps == 0).then((count == 8) & ~closed).otherwise(gaps == 1)
    number = end
    for place, name in enumerate(groups):
        value = pl.col(name).str.to_integer(base=16, dtype=pl.UInt32, strict=False).fill_null(0).cast(_NUMBER)
        from_left = pl.lit(1 << 16 * (7 - place), _NUMBER)
        from_right = pl.lit(1, _NUMBER)
        for behind in range(1, 8 - place):
            power = pl.lit(1 << 16 * behind, _NUMBER)
            from_right = pl.when(count == place + 1 + behind).then(power).otherwise(from_right)
        number = number + value * pl.when(gap > place).then(from_left).otherwise(from_right)
    return frame.select(pl.when(fits).then(number)).to_series()


def walk(peers: pl.Series, heard: pl.Series, chains: pl.Series, trusted: Trusted) -> pl.DataFrame:
    """Find the client as nginx does with ``real_ip_header X-Forwarded-For`` and ``real_ip_recursive on``.

    Parameters
    ----------
    peers
        Who sent each request (UInt128), null where that has no address, such as a unix socket.
    heard
        Whether its word is taken (Boolean).
    chains
        What the header said (String). A PROXY header's address is a chain of one.
    trusted
        ``set_real_ip_from``.

    Returns
    -------
    polars.DataFrame
        ``client`` (UInt128), null where it stands further to the left than is looked; ``position`` (UInt8), which entry
        it is from the right, 0 for the peer itself.
    """
    parts = take_apart(chains)
    readable = pl.col("address").is_not_null()
    entries = parts.entries.with_columns(readable=readable, ends=~trusted(parts.entries["address"]) | ~readable)
    ends = entries.filter("ends").unique("row", keep="first", maintain_order=True)
    frame = pl.DataFrame({"peer": peers, "heard": heard, "length": parts.length, "more": parts.more})
    frame = frame.with_row_index("row")
    frame = frame.join(ends.select("row", "readable", end="position"), on="row", how="left", maintain_order="left")
    position = (
        pl.when((pl.col("length") == 0) | ~pl.col("heard"))
        .then(0)
        .when("readable")
        .then("end")
        .when(~pl.col("readable"))
        .then(pl.col("end") - 1)
        .when(~pl.col("more"))
        .then("length")
    )
    frame = frame.with_columns(position=position.cast(pl.UInt8))
    places = parts.entries.rename({"address": "client"})
    frame = frame.join(places, on=["row", "position"], how="left", maintain_order="left")
    return frame.select(pl.when(pl.col("position") == 0).then("peer").otherwise("client").alias("client"), "position")


def effective_client(rows: pl.DataFrame, trusted: Trusted) -> pl.DataFrame:
    """Say which address each visitor really has, by the best evidence of its line.

    Followed is who handed the request to whom: the TCP peer, then whom the PROXY header names, then the entries of
    X-Forwarded-For from the right, up to the first that is not trusted. Where the peer was not logged and the remote
    address stands in the chain, the server took it from there, so whoever sent the chain is trusted.

    Parameters
    ----------
    rows
        Columns ``address`` (UInt128) and, where logged, ``peer`` (``$realip_remote_addr``) and ``proxied``
        (``$proxy_protocol_addr``), both UInt128, and ``chain`` (String).
    trusted
        Proxies and load balancers.

    Returns
    -------
    polars.DataFrame
        ``client_address`` (UInt128), the remote address where nothing better is known; ``client_from``
        (`ClientFrom`): where it stands, in the remote address before all others.
    """
    logged: dict[str, pl.DataType] = {"peer": _NUMBER, "proxied": _NUMBER, "chain": pl.String()}
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in logged.items() if name not in rows.columns]
    frame = rows.with_columns(absent).select("address", *logged).with_columns(first=pl.coalesce("peer", "address"))
    # Without the peer's address: who can send a PROXY header that the server reads is trusted.
    heard = trusted(frame["first"]) | (frame["peer"].is_null() & frame["proxied"].is_not_null())
    proxied = pl.select(heard & frame["proxied"].is_not_null()).to_series()
    hop = frame.select(pl.when(proxied).then("proxied").otherwise("first")).to_series()
    taken = frame["peer"].is_null() & frame["proxied"].is_null() & _in_chain(frame["address"], frame["chain"])
    walked = walk(hop, trusted(hop) | taken, frame["chain"], trusted)
    # The peer is trusted and names no one: the server may know its client from another header.
    silent = pl.col("heard") & ~pl.col("proxied") & (pl.col("position") == 0)
    frame = pl.concat([frame.select("address", "peer"), walked], how="horizontal")
    frame = frame.with_columns(heard=heard, proxied=proxied)
    client = pl.when(silent).then("address").otherwise(pl.coalesce("client", "address"))
    origin = (
        pl.when(client.eq_missing(pl.col("address")))
        .then(pl.lit("remote_addr", ClientFrom))
        .when(pl.col("position") > 0)
        .then(pl.lit("x_forwarded_for", ClientFrom))
        .when("proxied")
        .then(pl.lit("proxy_protocol_addr", ClientFrom))
        .otherwise(pl.lit("realip_remote_addr", ClientFrom))
    )
    return frame.select(client.alias("client_address"), origin.alias("client_from"))


def _in_chain(addresses: pl.Series, chains: pl.Series) -> pl.Series:
    wanted = addresses.alias("wanted").to_frame().with_row_index("row")
    entries = take_apart(chains).entries.join(wanted, on="row")
    rows = entries.filter(pl.col("address") == pl.col("wanted"))["row"]
    return wanted["row"].is_in(rows.unique().implode())


def address_texts(numbers: pl.Series) -> pl.Series:
    """Return addresses (UInt128) as text (String), those of IPv6 one distinct address at a time."""
    number = pl.col("number")
    dotted = (number >= pl.lit(MAPPED, _NUMBER)) & (number <= pl.lit(BROADCAST, _NUMBER))
    frame = numbers.alias("number").to_frame()
    last = pl.when(dotted).then(number & pl.lit(0xFFFF_FFFF, _NUMBER)).cast(pl.UInt32)
    octets = [last // (1 << 8 * place) % 256 for place in (3, 2, 1, 0)]
    frame = frame.with_columns(text=pl.concat_str(octets, separator="."))
    others = frame.filter(~dotted)["number"].unique()
    if others.len():
        table = pl.DataFrame({"number": others, "long": format_addresses(others)})
        frame = frame.join(table, on="number", how="left", maintain_order="left")
        frame = frame.with_columns(pl.coalesce("text", "long").alias("text"))
    return frame["text"].alias(numbers.name)
