"""The routes, one module for each part of OSCAR's API. Each has `router(manager, gate)`."""
