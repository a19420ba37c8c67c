"""A stale-while-revalidate caching HTTP reverse proxy for Twisted, with its cache shared in Redis."""
