"""The command line. With pytest, the only room that talks to people."""
