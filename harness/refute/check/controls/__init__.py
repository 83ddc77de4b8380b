"""Controls alone: do they behave, and would they notice a broken falsifier?"""
