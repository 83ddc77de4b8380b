"""Models behind a server: a client with patience, JSON however it is encoded, and llama.cpp in this process."""
