"""Structured field values (RFC 9651): a strict parser for lists and dictionaries.

Strict is the point: a field that breaks a rule anywhere is no structured field at all (RFC 9651 §4.2), and None; so is
one that goes on beyond what a parser has to take.
Must not know: what any field means.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Bare", "Date", "InnerList", "Item", "String", "Token", "parse_dictionary", "parse_list", "serialize_string"]


@dataclass(frozen=True, slots=True)
class Token:
    """RFC 9651 §3.3.4."""

    value: bytes


@dataclass(frozen=True, slots=True)
class String:
    """RFC 9651 §3.3.3, or a Display String (§3.3.8), here in UTF-8."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Date:
    """RFC 9651 §3.3.7, in seconds since the epoch."""

    value: int


Bare = int | Decimal | bool | bytes | Token | String | Date
Parameters = tuple[tuple[bytes, Bare], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A bare value and its parameters (RFC 9651 §3.3)."""

    value: Bare
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class InnerList:
    """Items in parentheses (RFC 9651 §3.1.1)."""

    items: tuple[Item, ...]
    parameters: Parameters = ()


class _Malformed(Exception):
    """Not a structured field. Never leaves this module."""


#: Things that are taken off one value at most: enough for 1,024 members, each with a value and a parameter (RFC 9651
#: §3.1, §3.2 have us take so many). Whoever sends more holds up everybody else.
MOST_TAKEN = 8192

_KEY = re.compile(rb"[a-z*][a-z0-9_\-.*]*")
_NUMBER = re.compile(rb"-?(\d{1,15}(?![\d.])|\d{1,12}\.\d{1,3}(?!\d))")
_STRING = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*+)"')
_TOKEN = re.compile(rb"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_BINARY = re.compile(rb":([A-Za-z0-9+/=]*):")
_BOOLEAN = re.compile(rb"\?([01])")
_DATE = re.compile(rb"@(-?\d{1,15})(?![\d.])")
_DISPLAY = re.compile(rb'%"((?:[ !#$&-~]|%[0-9a-f]{2})*+)"')
_HEX = re.compile(rb"%([0-9a-f]{2})")
_SPACES = re.compile(rb" *")
_BLANKS = re.compile(rb"[ \t]*")


class _Reader:
    """A place in a value. Each method takes one thing off the front, or raises ``_Malformed``."""

    def __init__(self, value: bytes) -> None:
        self.value = value.strip(b" ")
        self.place = 0
        self.left = MOST_TAKEN

    @property
    def ended(self) -> bool:
        return self.place >= len(self.value)

    def peek(self) -> bytes:
        return self.value[self.place : self.place + 1]

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        self.left -= 1
        match = pattern.match(self.value, self.place)
        if match is None or self.left < 0:
            raise _Malformed
        self.place = match.end()
        return match

    def bare(self) -> Bare:
        first = self.peek()
        if first == b"-" or first.isdigit():
            text = self.take(_NUMBER).group()
            return Decimal(text.decode("ascii")) if b"." in text else int(text)
        if first == b'"':
            return String(re.sub(rb'\\(["\\])', rb"\1", self.take(_STRING)[1]))
        if first == b"?":
            return self.take(_BOOLEAN)[1] == b"1"
        if first == b":":
            return self.binary()
        if first == b"@":
            return Date(int(self.take(_DATE)[1]))
        if first == b"%":
            return self.display()
        return Token(self.take(_TOKEN).group())

    def binary(self) -> bytes:
        text = self.take(_BINARY)[1].rstrip(b"=")
        try:
            return b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise _Malformed from None

    def display(self) -> String:
        text = _HEX.sub(lambda match: bytes((int(match[1], 16),)), self.take(_DISPLAY)[1])
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            raise _Malformed from None
        return String(text)

    def parameters(self) -> Parameters:
        found: dict[bytes, Bare] = {}
        while self.peek() == b";":
            self.place += 1
            self.take(_SPACES)
            key = self.take(_KEY).group()
            value: Bare = True
            if self.peek() == b"=":
                self.place += 1
                value = self.bare()
            found[key] = value
        return tuple(found.items())

    def member(self) -> Item | InnerList:
        if self.peek() != b"(":
            return Item(self.bare(), self.parameters())
        self.place += 1
        items: list[Item] = []
        while True:
            self.take(_SPACES)
            if self.peek() == b")":
                self.place += 1
                return InnerList(tuple(items), self.parameters())
            items.append(Item(self.bare(), self.parameters()))
            if self.peek() not in (b" ", b")"):
                raise _Malformed

    def separator(self) -> None:
        """Go past a comma, or to the end."""
        self.take(_BLANKS)
        if self.ended:
            return
        if self.peek() != b",":
            raise _Malformed
        self.place += 1
        self.take(_BLANKS)
        if self.ended:
            raise _Malformed  # a trailing comma


def parse_dictionary(value: bytes) -> dict[bytes, Item | InnerList] | None:
    """The members of a Dictionary (RFC 9651 §4.2.2), its lines joined with commas; None when it is none."""
    reader = _Reader(value)
    found: dict[bytes, Item | InnerList] = {}
    try:
        while not reader.ended:
            key = reader.take(_KEY).group()
            if reader.peek() == b"=":
                reader.place += 1
                found[key] = reader.member()
            else:
                found[key] = Item(True, reader.parameters())
            reader.separator()
    except _Malformed:
        return None
    return found


def parse_list(value: bytes) -> list[Item | InnerList] | None:
    """The members of a List (RFC 9651 §4.2.1), its lines joined with commas; None when it is none."""
    reader = _Reader(value)
    found: list[Item | InnerList] = []
    try:
        while not reader.ended:
            found.append(reader.member())
            reader.separator()
    except _Malformed:
        return None
    return found


_UNPRINTABLE = re.compile(rb"[^ -~]")


def serialize_string(value: bytes) -> bytes:
    """``value`` as a String (RFC 9651 §4.1.6); bytes that a String cannot hold become ``?``."""
    return b'"%s"' % _UNPRINTABLE.sub(b"?", value).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
