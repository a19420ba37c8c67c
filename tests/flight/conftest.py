"""Stores over a real Redis, for flights that meet in it."""

from tests.store.conftest import make_store as make_store
