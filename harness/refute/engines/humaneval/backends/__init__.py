"""Who answers prompts: a model in this process, or a server."""
