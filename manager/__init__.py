"""The manager: OSCAR's REST API over the targets, the queue and the stores of `bridge`."""
