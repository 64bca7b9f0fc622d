"""The child process that runs one configuration, and its parent's side."""
