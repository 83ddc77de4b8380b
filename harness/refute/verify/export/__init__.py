"""A verdict in other people's formats, and in their registries. What is handed on was verified first."""
