"""Generation backends: models loaded in this process, llama.cpp, and servers, behind one interface."""
