"""The routes, one module for each part of OSCAR's API. Each has a `router`."""
