"""What somebody does with a signed verdict: check it, sign it, show it, compare it, hand it on."""
