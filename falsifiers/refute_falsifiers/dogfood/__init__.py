"""Does refute keep its own promises, and does it notice builds of itself that do not?"""
