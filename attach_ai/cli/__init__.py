"""The command line."""

from attach_ai.cli.entry import main as main
