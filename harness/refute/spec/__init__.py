"""What people write, as frozen models: criteria, releases, policies, waivers; their bars and their YAML.

Anybody above may import it; it imports `attest` and the words.
"""
