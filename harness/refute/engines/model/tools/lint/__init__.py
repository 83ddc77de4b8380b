"""What is wrong with a model before anybody has run it: a table of rules, one file a subject."""
