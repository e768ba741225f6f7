"""The `oscar-bridge` command."""
