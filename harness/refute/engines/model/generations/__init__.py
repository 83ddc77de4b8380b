"""Two generations of transformers read a released folder, 4.x and 5.x: written for both, tried in both."""
