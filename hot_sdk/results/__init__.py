"""One result of lifting: the poses, their geometry, their files."""
