"""Teachers, behind one interface: loaded models, llama.cpp, a cache of top-k entries; and prefetching.

training/build.py opens them, training/trainer.py asks them, and loss/ reads the `TeacherOutput` that they give.
"""
