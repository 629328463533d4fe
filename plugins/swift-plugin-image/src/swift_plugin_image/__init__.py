"""Container images of serving engines: a Dockerfile with all that it needs, and a Compose file for one machine."""
