"""The exported graph: tracing, editing, checking, counting."""
