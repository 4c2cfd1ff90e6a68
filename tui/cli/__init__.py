"""The command line: one module per command, each loaded when it is named.

At their top these modules import click and nothing heavier, so that ``--help`` and a
mistyped option answer at once.  Data goes to standard output, everything else to
standard error.
"""
