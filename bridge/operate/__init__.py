"""Day two: what is deployed, what became of its jobs, and small pushes and pulls."""
