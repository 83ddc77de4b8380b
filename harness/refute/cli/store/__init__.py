"""`refute store`: evidence listed, cleaned, packed and taken in."""
