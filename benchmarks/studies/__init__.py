"""What the maintainers run to make the figures of the docs; not in the wheel."""
