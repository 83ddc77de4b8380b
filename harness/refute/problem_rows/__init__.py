"""What a row of a problem file means, whichever benchmark it is of: HumanEval, EvalPlus or MBPP."""
