"""The fire drill's engine room: a world that trains in a second, and faults planted between the parts of the engines.

Nothing here runs in any other experiment. Which faults, and who must find them, is for `refute.check.drill` to say.
"""
