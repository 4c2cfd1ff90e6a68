"""A server on this machine that speaks the vendors' wire formats, for tests."""
