"""Code of the user, in a process of its own: how it is named, loaded and asked."""
